"""What running the platform costs and brings, month by month, as the ledger has it; and what AWS charges, as AWS says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncMonth

from billing.ledger import MOVING
from billing.models import Account, Transfer
from console import aws_costs
from lib.clock import now

Kind = Account.Kind
CURRENCY = "USD"
MONTHS = 12
ZERO = Decimal(0)


@dataclass(slots=True)
class Month:
    """USD. `billed` is what customers were charged; what is not the providers' and the operators' is ours."""

    first: date
    providers: dict[str, Decimal] = field(default_factory=dict)
    operators: Decimal = ZERO
    revenue: Decimal = ZERO
    aws: Decimal | None = None  # not known

    @property
    def owed(self) -> Decimal:
        return sum(self.providers.values(), ZERO)

    @property
    def billed(self) -> Decimal:
        return self.owed + self.operators + self.revenue

    @property
    def margin(self) -> Decimal:
        """Ours, less what AWS costs as far as that is known; before the fees of payment services."""
        return self.revenue - (self.aws or ZERO)

    @property
    def margin_share(self) -> Decimal | None:
        return 100 * self.margin / self.billed if self.billed else None


@dataclass(frozen=True, slots=True)
class Costs:
    months: list[Month]  # newest first
    owed: dict[str, Decimal]  # to each provider, of all time, less what was paid to it
    aws: aws_costs.Bill


def costs() -> Costs:
    today = now().date()
    months = {day: Month(day) for day in (aws_costs.first_of(today, back) for back in range(MONTHS))}
    first = datetime.combine(min(months), time(), UTC)
    for day, label, amount in _moved(Kind.PROVIDER_COST, first):
        months[day].providers[label] = amount
    for day, _label, amount in _moved(Kind.EARNINGS, first, source_type="usage"):
        months[day].operators += amount
    for day, _label, amount in _moved(Kind.REVENUE, first):
        months[day].revenue += amount
    bill = aws_costs.read()
    for day, services in bill.months.items():
        if day in months:
            months[day].aws = sum(services.values(), ZERO)
    return Costs(_without_beginning(list(months.values())), owed_now(), bill)


def _without_beginning(months: list[Month]) -> list[Month]:
    """Newest first; the months before there was anything are left out, this one never is."""
    used = [number for number, month in enumerate(months) if month.billed or month.aws]
    return months[: max(used, default=0) + 1]


def owed_now() -> dict[str, Decimal]:
    """By provider."""
    rows = Account.objects.filter(kind=Kind.PROVIDER_COST, currency=CURRENCY).values_list("label")
    sums = rows.annotate(total=Sum("credits_posted") - Sum("debits_posted")).order_by("label")
    return {label: total for label, total in sums if total}


def _moved(kind: str, since: datetime, **causes: str) -> list[tuple[date, str, Decimal]]:
    """What came to the accounts of a kind, less what went, by month and label."""
    accounts = Account.objects.filter(kind=kind, currency=CURRENCY)
    rows = Transfer.objects.filter(state__in=MOVING, created_at__gte=since, **causes)
    sums: defaultdict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for side, sign in (("credit_account", 1), ("debit_account", -1)):
        for month, label, total in _by_month(rows.filter(Q(**{f"{side}__in": accounts})), f"{side}__label"):
            sums[month.date(), label] += sign * total
    return [(day, label, amount) for (day, label), amount in sums.items()]


def _by_month(rows: QuerySet[Transfer], label: str) -> list[tuple[datetime, str, Decimal]]:
    months = rows.annotate(month=TruncMonth("created_at")).values_list("month", label)
    return list(months.annotate(total=Sum("amount")).order_by("month", label))
