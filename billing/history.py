"""All that moved an organisation's money and credits, row by row, with the balance after each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing.models import Account, Transfer
from billing.wallet import BALANCES, accounts_of, moves, signed_amount
from lib.days import check_days, of_days
from lib.errors import Invalid
from lib.lists import bad_cursor, check_limit
from lib.spreadsheets import answer_csv, plain

CSV_COLUMNS = ("at", "kind", "memo", "amount", "balance", "currency", "reference", "id")


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer as the organisation sees it: what came is positive. `balance` counts what is held as its own."""

    id: UUID
    at: datetime
    amount: Decimal
    balance: Decimal
    currency: str
    source_type: str
    source_id: str
    memo: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: of one currency, and of days in UTC, both included. Raises Invalid beside the field."""

    currency: str = ""
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.currency and self.currency not in BALANCES:
            message = _("There is no balance in this currency.")
            raise Invalid(message, fields={"currency": [message]})
        check_days(self.since, self.until)

    def narrow(self, rows: QuerySet[Transfer]) -> QuerySet[Transfer]:
        if self.currency:
            rows = rows.filter(currency=self.currency)
        return of_days(rows, "created_at", self.since, self.until)


def page(organisation: Organisation, wanted: Wanted, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """`{"items", "next"}`, newest first. Ids of transfers do not sort by time, so the cursor holds the time too."""
    check_limit(limit)
    own = _own(organisation)
    rows = wanted.narrow(moves(set(own))).order_by("-created_at", "-pk")
    if cursor:
        moment, pk = _parse_cursor(cursor)
        rows = rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=pk))
    found = list(rows[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    following = f"{last.created_at.astimezone(UTC).isoformat()}~{last.pk.hex}" if last else None
    items = list(_with_balances(iter(found[:limit][::-1]), own))
    return {"items": items[::-1], "next": following}


def rows(organisation: Organisation, wanted: Wanted) -> Iterator[Movement]:
    """All of them, oldest first, read as they are asked for."""
    own = _own(organisation)
    found = wanted.narrow(moves(set(own))).order_by("created_at", "pk")
    return _with_balances(found.iterator(chunk_size=2000), own)


def as_file(request: HttpRequest, organisation: Organisation, wanted: Wanted) -> StreamingHttpResponse:
    """Amounts as the ledger has them, with a sign and a point; the names that people gave are no formulas."""
    lines = (
        [
            row.at.isoformat(),
            row.source_type,
            plain(row.memo),
            f"{row.amount:f}",
            f"{row.balance:f}",
            row.currency,
            plain(row.source_id),
            str(row.id),
        ]
        for row in rows(organisation, wanted)
    )
    return answer_csv(request, name="wallet", columns=CSV_COLUMNS, rows=lines)


def _own(organisation: Organisation) -> dict[UUID, Account]:
    return {account.pk: account for account in accounts_of(organisation)}


def _with_balances(rows: Iterator[Transfer], own: dict[UUID, Account]) -> Iterator[Movement]:
    """`rows` come oldest first, and without a gap in any currency."""
    balances: dict[UUID, Decimal] = {}
    for row in rows:
        came = row.credit_account_id in own
        account = row.credit_account_id if came else row.debit_account_id
        amount = row.amount if came else -row.amount
        balances[account] = balances[account] + amount if account in balances else _balance_after(account, row)
        yield Movement(
            row.pk, row.created_at, amount, balances[account], row.currency, row.source_type, row.source_id, row.memo
        )


def _balance_after(account: UUID, row: Transfer) -> Decimal:
    """What the account has now, less what came after: both in one statement, so that they fit to each other."""
    later = moves({account}).filter(Q(created_at__gt=row.created_at) | Q(created_at=row.created_at, pk__gt=row.pk))
    total = later.order_by().values("currency").annotate(total=Sum(signed_amount({account}))).values("total")
    now = F("credits_posted") - F("debits_posted") - Coalesce(Subquery(total), Decimal(0))
    balance: Decimal = Account.objects.filter(pk=account).values_list(now, flat=True).get()
    return balance


def _parse_cursor(cursor: str) -> tuple[datetime, UUID]:
    # A plus sign in an address is a space: cursors that were not escaped work too.
    moment, _sign, pk = cursor.replace(" ", "+").partition("~")
    try:
        parsed = datetime.fromisoformat(moment)
        return parsed.astimezone(UTC), UUID(hex=pk)
    except (ValueError, OverflowError):
        raise bad_cursor() from None
