"""What an operator earned in a month, from the ledger to its last unit: usage by pod and day, our share, payouts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, F, Max, OuterRef, Q, QuerySet, Subquery, Sum, When
from django.db.models.functions import Coalesce, TruncDate
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing.ledger import MOVING
from billing.models import Transfer
from billing.payouts.books import RETURN_SOURCE
from billing.payouts.books import SOURCE as PAYOUT_SOURCE
from billing.payouts.earnings import MONEY, USAGE, ZERO, accounts
from billing.payouts.requesting import MOVE_SOURCE
from lib.clock import now
from lib.errors import NotFound
from lib.spreadsheets import plain

MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")
CSV_COLUMNS = ("date", "what", "reference", "gross_usd", "fee_usd", "net_usd")


@dataclass(frozen=True, slots=True)
class Line:
    """A pod's usage of a day, or another cause: then `gross` and `fee` are zero. What left is negative."""

    day: date
    cause: str
    memo: str
    gross: Decimal
    net: Decimal

    @property
    def fee(self) -> Decimal:
        return self.gross - self.net if self.cause == USAGE else ZERO


@dataclass(frozen=True, slots=True)
class Statement:
    start: datetime
    opening: Decimal
    lines: list[Line]

    @property
    def month(self) -> str:
        return f"{self.start:%Y-%m}"

    @property
    def gross(self) -> Decimal:
        return sum((line.gross for line in self.lines), ZERO)

    @property
    def fee(self) -> Decimal:
        return sum((line.fee for line in self.lines), ZERO)

    @property
    def net(self) -> Decimal:
        return self._sum(USAGE)

    @property
    def paid_out(self) -> Decimal:
        """Less what came back."""
        return -self._sum(PAYOUT_SOURCE, RETURN_SOURCE)

    @property
    def moved(self) -> Decimal:
        return -self._sum(MOVE_SOURCE)

    @property
    def other(self) -> Decimal:
        return self.closing - self.opening - self.net + self.paid_out + self.moved

    @property
    def closing(self) -> Decimal:
        return self.opening + sum((line.net for line in self.lines), ZERO)

    def _sum(self, *causes: str) -> Decimal:
        return sum((line.net for line in self.lines if line.cause in causes), ZERO)


def statement_of(organisation: Organisation, month: str) -> Statement:
    """Raises NotFound for what is no month, or none that has begun."""
    start, end = _span(month)
    moves = _moves(organisation).filter(created_at__gte=start)
    within = moves.filter(created_at__lt=end).annotate(day=TruncDate("created_at", tzinfo=UTC))
    lines = [*_usage_lines(within.filter(source_type=USAGE)), *_other_lines(within.exclude(source_type=USAGE))]
    return Statement(
        start,
        _balance_before(organisation, moves),
        sorted(lines, key=lambda line: (line.day, line.cause != USAGE, line.memo)),
    )


def months_of(organisation: Organisation) -> list[date]:
    """The first days of all months from the first earning on, the newest first."""
    # One look at an index: the account may have years of movements, the first of which brought something.
    brought = Transfer.objects.filter(credit_account__in=accounts().filter(organisation=organisation))
    first = brought.order_by("created_at").values_list("created_at", flat=True).first()
    if first is None:
        return []
    months, month = [], now().date().replace(day=1)
    while month >= first.astimezone(UTC).date().replace(day=1):
        months.append(month)
        month = (month - timedelta(days=1)).replace(day=1)
    return months


def as_rows(statement: Statement) -> Iterator[list[str]]:
    """For a spreadsheet, by `CSV_COLUMNS`: the opening balance, each line, the closing balance."""
    yield [f"{statement.start:%Y-%m-%d}", "opening_balance", "", "", "", f"{statement.opening:.6f}"]
    for line in statement.lines:
        sums = [f"{amount:.6f}" for amount in (line.gross, line.fee, line.net)]
        yield [line.day.isoformat(), line.cause, plain(line.memo), *sums]
    sums = [f"{amount:.6f}" for amount in (statement.gross, statement.fee, statement.closing)]
    yield ["", "closing_balance", "", *sums]


def _span(month: str) -> tuple[datetime, datetime]:
    found = MONTH.fullmatch(month)
    if found:
        start = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
        if start <= now():
            return start, (start + timedelta(days=32)).replace(day=1)
    raise NotFound(_("There is no statement of this month."))


def _moves(organisation: Organisation) -> QuerySet[Transfer]:
    """All that went into or out of the earnings, with its sign; holds do not."""
    own = list(accounts().filter(organisation=organisation).values_list("pk", flat=True))
    signed = Case(
        When(credit_account__in=own, then=F("amount")),
        default=-F("amount"),
        output_field=MONEY,
    )
    either = Q(debit_account__in=own) | Q(credit_account__in=own)
    return Transfer.objects.filter(either, state__in=MOVING).annotate(signed=signed)


def _balance_before(organisation: Organisation, moves: QuerySet[Transfer]) -> Decimal:
    """What there is now, less what these have changed since: years of movements before them are not looked at. In one
    statement, so that both fit to each other."""
    since = moves.order_by().values("currency").annotate(total=Sum("signed")).values("total")
    before = F("credits_posted") - F("debits_posted") - Coalesce(Subquery(since, output_field=MONEY), ZERO)
    return accounts().filter(organisation=organisation).values_list(before, flat=True).first() or ZERO


def _usage_lines(usage: Any) -> Iterator[Line]:
    """What the renter paid is the sum of all legs of the same usage, which were posted together."""
    paid = (
        Transfer.objects.filter(source_type=USAGE, source_id=OuterRef("source_id"), state__in=MOVING)
        .values("source_id")
        .annotate(total=Sum("amount"))
        .values("total")
    )
    rows = usage.annotate(paid=Subquery(paid, output_field=MONEY)).values("day", "memo")
    for row in rows.annotate(gross=Sum("paid"), net=Sum("signed")).order_by("day", "memo"):
        yield Line(row["day"], USAGE, row["memo"], row["gross"], row["net"])


def _other_lines(rows: Any) -> Iterator[Line]:
    grouped = rows.values("day", "source_type", "memo").annotate(net=Sum("signed"), at=Max("created_at")).order_by("at")
    for row in grouped:
        yield Line(row["day"], row["source_type"], row["memo"], ZERO, row["net"])
