"""What an operator has earned, how much of it can be paid out now, and when the rest can."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import DecimalField, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, TruncDate

from accounts.models import Organisation
from billing.accounts import Kind
from billing.ledger import MOVING
from billing.models import Account, Dispute, Transfer
from billing.states import DisputeStatus
from lib.clock import now
from lib.money import floor_for_payment

CURRENCY = "USD"
HOLD_BACK = timedelta(days=7)  # renters may complain, and cards bounce, before it is gone
USAGE = "usage"
ZERO = Decimal(0)
MONEY: DecimalField[Decimal, Decimal] = DecimalField(max_digits=20, decimal_places=6)


@dataclass(frozen=True, slots=True)
class Earnings:
    """`set_aside` are open payouts and disputes; `available` is in whole cents, as it can be paid."""

    balance: Decimal = ZERO
    held_back: Decimal = ZERO
    set_aside: Decimal = ZERO

    @property
    def available(self) -> Decimal:
        return floor_for_payment(max(ZERO, self.balance - self.set_aside - self.held_back), CURRENCY)


def earnings_of(organisation: Organisation) -> Earnings:
    """In one query, so that its figures are of one moment."""
    recent = (
        earned(since=now() - HOLD_BACK)
        .filter(credit_account=OuterRef("pk"))
        .values("credit_account")
        .annotate(total=Sum("amount"))
        .values("total")
    )
    # The owner's part of what is disputed is set aside, also where less of it was there to be held: what comes since is
    # for that first. What is recent of it is not held back a second time.
    disputes = Dispute.objects.filter(owner=OuterRef("organisation"), currency=CURRENCY).values("owner")
    running = disputes.exclude(status=DisputeStatus.FINAL)
    part = F("earned") * F("amount") / F("paid")
    sums = {
        "recent": recent,
        "disputed_recent": running.filter(usage_from__gt=now() - HOLD_BACK).annotate(total=Sum(part)).values("total"),
        "unheld": running.annotate(total=Sum(part - F("held"))).values("total"),
    }
    figures = {
        name: Coalesce(Subquery(sum_, output_field=MONEY), ZERO, output_field=MONEY) for name, sum_ in sums.items()
    }
    found = accounts().filter(organisation=organisation).annotate(**figures)
    row = found.values("credits_posted", "debits_posted", "debits_pending", *figures).first()
    if row is None:
        return Earnings()
    return Earnings(
        balance=row["credits_posted"] - row["debits_posted"],
        held_back=max(ZERO, row["recent"] - row["disputed_recent"]),
        set_aside=row["debits_pending"] + row["unheld"],
    )


def accounts() -> QuerySet[Account]:
    return Account.objects.filter(kind=Kind.EARNINGS, currency=CURRENCY)


def earned(*, since: datetime) -> QuerySet[Transfer]:
    """What usage has brought, to anybody: to be filtered by the account."""
    return Transfer.objects.filter(source_type=USAGE, state__in=MOVING, created_at__gt=since)


def free_from(organisation: Organisation) -> tuple[datetime, datetime] | None:
    """When the first and the last of what is held back can be paid out; None when nothing is."""
    recent = earned(since=now() - HOLD_BACK).filter(credit_account__in=accounts().filter(organisation=organisation))
    found = recent.aggregate(first=Min("created_at"), last=Max("created_at"))
    return (found["first"] + HOLD_BACK, found["last"] + HOLD_BACK) if found["first"] else None


def has_earned(organisation: Organisation) -> bool:
    """Whether there is anything to show: somebody's usage of a node of theirs."""
    return accounts().filter(~Q(credits_posted=0), organisation=organisation).exists()


def earned_by_day(organisation: Organisation, *, days: int) -> list[tuple[date, Decimal]]:
    """One entry for each of the last `days` days (UTC), zeros included, oldest first."""
    first = now().date() - timedelta(days=days - 1)
    rows = (
        earned(since=datetime(first.year, first.month, first.day, tzinfo=UTC))
        .filter(credit_account__in=accounts().filter(organisation=organisation))
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values_list("day")
        .annotate(total=Sum("amount"))
    )
    sums = dict(rows)
    return [(day, sums.get(day, ZERO)) for day in (first + timedelta(days=n) for n in range(days))]
