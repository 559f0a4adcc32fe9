"""What pods cost: now, this month, by day. Sums come from usage rows, which are what was billed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import Organisation
from lib.clock import now
from pods.models import Payer, Placement, Usage

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Burn:
    """Per hour, by what pays: dollars from the wallet, compute credits, dollars paid to providers directly."""

    usd: Decimal = ZERO
    credits: Decimal = ZERO
    own_key: Decimal = ZERO


def burn_of(organisation: Organisation) -> Burn:
    """What runs now costs this much an hour."""
    rows = (
        Placement.objects.filter(pod__organisation=organisation, status=Placement.Status.LIVE)
        .exclude(reached_at=None)
        .values_list("payer")
        .annotate(total=Sum("price_per_hour"))
    )
    sums = dict(rows)
    return Burn(
        usd=sums.get(Payer.WALLET) or ZERO,
        credits=sums.get(Payer.CREDITS) or ZERO,
        own_key=sums.get(Payer.OWN_KEY) or ZERO,
    )


def usage_of(organisation: Organisation | None) -> QuerySet[Usage]:
    rows = Usage.objects.all()
    return rows.filter(placement__pod__organisation=organisation) if organisation else rows


def spent_since(organisation: Organisation | None, since: datetime) -> dict[str, Decimal]:
    """By currency, all that was used since then."""
    rows = usage_of(organisation).filter(ended_at__gte=since).values_list("currency").annotate(total=Sum("amount"))
    return dict(rows)


def month_start(at: datetime | None = None) -> datetime:
    return (at or now()).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent_by_day(organisation: Organisation | None, *, days: int, currency: str) -> list[tuple[date, Decimal]]:
    """One entry for each of the last `days` days (UTC), zeros included, oldest first."""
    first = now().date() - timedelta(days=days - 1)
    rows = (
        usage_of(organisation)
        .filter(currency=currency, ended_at__date__gte=first)
        .annotate(day=TruncDate("ended_at"))
        .values_list("day")
        .annotate(total=Sum("amount"))
    )
    sums = dict(rows)
    return [(day, sums.get(day, ZERO)) for day in (first + timedelta(days=n) for n in range(days))]
