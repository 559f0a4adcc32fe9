"""What an organisation has, how long it lasts, and what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, DecimalField, Exists, F, Max, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import TruncDate
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing.accounts import WALLET_KIND
from billing.models import Account, Transfer
from billing.usage import HOLD_SOURCE, RESERVE
from lib.errors import Invalid
from lib.lists import MAX_LIMIT

CURRENCIES = ("USD", "CREDIT")  # what pods are paid with
BALANCES = (*CURRENCIES, "USDC")  # what an organisation can have
HOUR = timedelta(hours=1)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Balance:
    """`available` can be spent; `held` is set aside for pods that run now."""

    currency: str
    available: Decimal = ZERO
    held: Decimal = ZERO


def balance(organisation: Organisation, currency: str) -> Balance:
    account = _accounts(organisation).filter(currency=currency).first()
    if account is None:
        return Balance(currency)
    free = account.credits_posted - account.debits_posted - account.debits_pending
    return Balance(currency, free, account.debits_pending)


def balances(organisation: Organisation) -> dict[str, Decimal]:
    """What can be spent, by currency."""
    return {currency: balance(organisation, currency).available for currency in CURRENCIES}


def burn_per_hour(organisation: Organisation, currency: str) -> Decimal:
    """What running pods cost per hour now: each holds the cost of the next `usage.RESERVE`."""
    settled = Transfer.objects.filter(pending=OuterRef("pk"))
    held = Transfer.objects.filter(
        ~Exists(settled),
        debit_account__in=_accounts(organisation).filter(currency=currency),
        state=Transfer.State.PENDING,
        source_type=HOLD_SOURCE,
    ).aggregate(total=Sum("amount"))["total"]
    return (held or ZERO) * (HOUR // RESERVE)


def runway(organisation: Organisation, burn: Decimal, currency: str = "USD") -> timedelta | None:
    """How long the balance (with what is held) lasts at `burn` per hour; None when nothing is being spent."""
    if burn <= 0:
        return None
    now = balance(organisation, currency)
    hours = (now.available + now.held) / burn
    return timedelta(seconds=min(int(hours * 3600), 3650 * 86400))


def spent_since(organisation: Organisation, moment: datetime) -> dict[str, Decimal]:
    """Usage paid since `moment`, by currency."""
    rows = (
        Transfer.objects.filter(
            debit_account__in=_accounts(organisation),
            state__in=[Transfer.State.POSTED, Transfer.State.POST_PENDING],
            source_type="usage",
            created_at__gte=moment,
        )
        .values_list("currency")
        .annotate(total=Sum("amount"))
    )
    return dict.fromkeys(CURRENCIES, ZERO) | dict(rows)


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer as the organisation sees it: what came is positive."""

    id: UUID
    at: datetime
    amount: Decimal
    currency: str
    source_type: str
    source_id: str
    memo: str


def page_of_movements(organisation: Organisation, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """`{"items", "next"}`, newest first. Ids of transfers do not sort by time, so the cursor holds the time too."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(_("limit is out of range."), fields={"limit": [_("Ask for 1 to %d rows.") % MAX_LIMIT]})
    own = set(_accounts(organisation).values_list("pk", flat=True))
    rows = _moves(own).order_by("-created_at", "-pk")
    if cursor:
        moment, pk = _parse_cursor(cursor)
        rows = rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=pk))
    found = list(rows[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    following = f"{last.created_at.astimezone(UTC).isoformat()}~{last.pk.hex}" if last else None
    return {"items": [_as_seen(row, own) for row in found[:limit]], "next": following}


def _as_seen(row: Transfer, own: set[UUID]) -> Movement:
    amount = row.amount if row.credit_account_id in own else -row.amount
    return Movement(row.pk, row.created_at, amount, row.currency, row.source_type, row.source_id, row.memo)


def _moves(own: set[UUID]) -> QuerySet[Transfer]:
    """What moved money into or out of these accounts; holds do not."""
    return Transfer.objects.filter(
        Q(debit_account__in=own) | Q(credit_account__in=own),
        state__in=[Transfer.State.POSTED, Transfer.State.POST_PENDING],
    )


def _parse_cursor(cursor: str) -> tuple[datetime, UUID]:
    # A plus sign in an address is a space: cursors that were not escaped work too.
    moment, _sign, pk = cursor.replace(" ", "+").partition("~")
    try:
        parsed = datetime.fromisoformat(moment)
        return parsed.astimezone(UTC), UUID(hex=pk)
    except (ValueError, OverflowError):
        raise Invalid(_("This cursor is not valid."), fields={"cursor": [_("Take it from `next`.")]}) from None


def statement(organisation: Organisation, month: datetime) -> Any:
    """The month's movements, one row for each day and cause: a pod's usage is one line a day, not one a minute.

    A queryset of dicts with day, source_type, memo, currency, total, count.
    """
    own = set(_accounts(organisation).values_list("pk", flat=True))
    signed = Case(
        When(credit_account__in=own, then=F("amount")),
        default=-F("amount"),
        output_field=DecimalField(max_digits=20, decimal_places=6),
    )
    start = month.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    return (
        _moves(own)
        .filter(created_at__gte=start, created_at__lt=end)
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values("day", "source_type", "memo", "currency")
        .annotate(total=Sum(signed), count=Count("source_id", distinct=True), last_at=Max("created_at"))
        .order_by("-last_at", "memo")
    )


def _accounts(organisation: Organisation) -> QuerySet[Account]:
    """The wallet and the credits: what `movements` and `balance` are about."""
    return Account.objects.filter(organisation=organisation, kind__in=set(WALLET_KIND.values()))
