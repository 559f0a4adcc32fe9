"""The second meter: what a provider charges for each instance, against what we metered and booked for it.

Only instances on our own accounts, which the wallet pays for; a customer who brings a key has the provider's bill
themselves. Days that are closed are compared, since providers book late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from django.conf import settings
from django.db.models import CharField, Q, QuerySet, Sum
from django.db.models.functions import Cast

from billing.ledger import MOVING
from billing.models import Account, Transfer
from billing.reconciliation import NOTHING, Difference, Look
from lib.clock import now
from lib.errors import AppError
from lib.money import round_money
from marketplace.providers.base import BillingProvider, ProviderError
from marketplace.registry import adapter_class, adapter_for
from pods.models import Payer, Placement, Usage

SOURCE = "provider:"
DAYS = timedelta(days=7)
CLOSED_AFTER = timedelta(hours=6)  # of midnight in UTC
TOLERANCE = Decimal("0.02")
CENT = Decimal("0.01")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Metered:
    """What we billed for an instance within a time."""

    amount: Decimal = ZERO
    seconds: int = 0

    def __add__(self, other: Metered) -> Metered:
        return Metered(self.amount + other.amount, self.seconds + other.seconds)


def comparisons() -> Mapping[str, Callable[[], Iterator[Look]]]:
    """By source; billing asks for them by the name in `settings.COMPARED_ELSEWHERE`."""
    slugs = [slug for slug, key in settings.PROVIDER_KEYS.items() if key and tells_its_bill(slug)]
    return {f"{SOURCE}{slug}": partial(compare_closed_days, slug) for slug in slugs}


def tells_its_bill(slug: str) -> bool:
    return issubclass(adapter_class(slug), BillingProvider)


def compare_closed_days(slug: str) -> Iterator[Look]:
    until = (now() - CLOSED_AFTER).replace(hour=0, minute=0, second=0, microsecond=0)
    return compare(slug, until - DAYS, until)


def compare(slug: str, since: datetime, until: datetime) -> Iterator[Look]:
    """From midnight to midnight in UTC. Raises AppError when the provider does not answer."""
    yield _compare_ledger(slug, since, until)
    theirs, metered = _billed(slug, since, until), _metered(slug, since, until)
    refs = sorted(theirs.keys() | metered.keys())
    ours = _placements(slug, refs)
    days = f"{since:%Y-%m-%d} – {until:%Y-%m-%d}"
    for ref in refs:
        if ref in ours:
            yield _look(ours[ref], metered.get(ref, Metered()), theirs.get(ref, ZERO), days)
        else:
            subject = f"{slug}: {ref}"
            yield Look(subject, (Difference("unknown_instance", subject, NOTHING, f"{theirs[ref]:f} USD, {days}"),))


def _look(placement: Placement, ours: Metered, theirs: Decimal, days: str) -> Look:
    gap = abs(ours.amount - theirs)
    if gap <= CENT or gap <= TOLERANCE * max(ours.amount, theirs):
        return Look(placement.public_id)
    here = f"{ours.amount:f} USD for {ours.seconds} s, {days}"
    there = f"{theirs:f} USD, {placement.ref}"
    return Look(placement.public_id, (Difference("bill", placement.public_id, here, there),))


def _billed(slug: str, since: datetime, until: datetime) -> dict[str, Decimal]:
    adapter = adapter_for(slug)
    assert isinstance(adapter, BillingProvider)
    try:
        lines = adapter.bill(since, until)
    except ProviderError as failure:
        raise AppError(failure.message, code=failure.code, status=503) from failure
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.ref] += line.amount
    return {ref: amount for ref, amount in sums.items() if amount}


def _metered(slug: str, since: datetime, until: datetime) -> dict[str, Metered]:
    """By the provider's reference. An instance that was kept and started again may have several placements."""
    rows = _usage(slug).filter(started_at__lt=until, ended_at__gt=since)
    inside = rows.filter(started_at__gte=since, ended_at__lte=until).values_list("placement__ref")
    sums: defaultdict[str, Metered] = defaultdict(Metered)
    for ref, amount, seconds in inside.annotate(amounts=Sum("amount"), times=Sum("seconds")):
        sums[ref] += Metered(amount, seconds)
    over_midnight = rows.filter(Q(started_at__lt=since) | Q(ended_at__gt=until)).select_related("placement")
    for row in over_midnight:
        sums[row.placement.ref] += _share(row, since, until)
    return dict(sums)


def _share(row: Usage, since: datetime, until: datetime) -> Metered:
    """What of an interval over midnight lies within."""
    seconds = int((min(row.ended_at, until) - max(row.started_at, since)).total_seconds())
    return Metered(round_money(row.amount * seconds / row.seconds), seconds)


def _placements(slug: str, refs: list[str]) -> dict[str, Placement]:
    """The newest by the provider's reference: also what was never reached, and costs all the same."""
    rows = Placement.objects.filter(provider=slug, provider_account=None, ref__in=refs).order_by("pk")
    return {row.ref: row for row in rows}


def _compare_ledger(slug: str, since: datetime, until: datetime) -> Look:
    """What was metered is what the ledger owes the provider."""
    usage = _usage(slug).filter(ended_at__gt=since, ended_at__lte=until)
    metered = usage.aggregate(total=Sum("amount"))["total"] or ZERO
    booked = (
        Transfer.objects.filter(
            credit_account__kind=Account.Kind.PROVIDER_COST,
            state__in=MOVING,
            source_type="usage",
            source_id__in=usage.annotate(key=Cast("pk", CharField())).values("key"),
        ).aggregate(total=Sum("amount"))["total"]
        or ZERO
    )
    if metered == booked:
        return Look("ledger")
    return Look("ledger", (Difference("ledger", "ledger", f"{metered:f} USD metered", f"{booked:f} USD booked"),))


def _usage(slug: str) -> QuerySet[Usage]:
    return Usage.objects.filter(placement__provider=slug, placement__provider_account=None, payer=Payer.WALLET)
