"""What a job will cost in compute credits: its rate, the time to get its code and data there, and how long it took before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import median, quantiles

from django.db.models import F, Sum

from accounts.models import Organisation
from billing import credits
from billing.wallet import balances
from lib.clock import now
from lib.money import round_money
from pods.models import Placement, Pod, PodConfig
from pods.pricing import OWN_NODES
from pods.states import PodStatus

HOUR = Decimal(3600)
SAMPLES = 50
RECENT = timedelta(days=30)
# Said in the answer: what a usual line carries. Nobody measures it before the first byte is sent.
BYTES_PER_SECOND = 25_000_000
# When no pod has started here lately.
USUAL_START_S = 5.0


@dataclass(frozen=True, slots=True)
class History:
    """Seconds that completed runs of the same job took, start and waiting not counted."""

    runs: int
    median_s: float
    p90_s: float


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """`low` and `high` in credits; None while no run of this job is known. `lasts_s`: how long the credits would last."""

    credits_per_hour: Decimal
    start_s: float
    transfer_s: float
    history: History | None
    low: Decimal | None
    high: Decimal | None
    lasts_s: int


def estimate_job(
    organisation: Organisation,
    *,
    resource: str,
    units: int = 1,
    code_bytes: int = 0,
    data_bytes: int = 0,
    config: PodConfig | None = None,
) -> JobEstimate:
    """Raises billing.credits.NoRate for a resource that credits do not pay."""
    per_hour = credits.rate(resource, now()) * units
    transfer_s = (code_bytes + data_bytes) / BYTES_PER_SECOND
    history = _history(config) if config is not None else None
    have = balances(organisation)["CREDIT"]
    return JobEstimate(
        credits_per_hour=per_hour,
        start_s=_usual_start_s(),
        transfer_s=transfer_s,
        history=history,
        low=_cost(per_hour, transfer_s + history.median_s) if history else None,
        high=_cost(per_hour, transfer_s + history.p90_s) if history else None,
        lasts_s=int(have / per_hour * HOUR),
    )


def _cost(per_hour: Decimal, seconds: float) -> Decimal:
    return round_money(per_hour * round(seconds) / HOUR)


def _history(config: PodConfig) -> History | None:
    """Of pods that did the same: the same image and command, in the same organisation."""
    same = Pod.objects.filter(
        organisation=config.organisation, image=config.image, command=config.command, status=PodStatus.COMPLETED
    )
    runs = same.annotate(seconds=Sum("placements__billed_seconds")).filter(seconds__gt=0).order_by("-pk")
    seconds = [float(value) for value in runs.values_list("seconds", flat=True)[:SAMPLES]]
    if not seconds:
        return None
    p90 = quantiles(seconds, n=10, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return History(len(seconds), median(seconds), p90)


def _usual_start_s() -> float:
    """From the request to the first answer, on our nodes, lately."""
    rows = Placement.objects.filter(
        provider_id=OWN_NODES, reached_at__isnull=False, requested_at__gt=now() - RECENT
    ).annotate(took=F("reached_at") - F("requested_at"))
    took = [span.total_seconds() for span in rows.order_by("-pk").values_list("took", flat=True)[:SAMPLES]]
    return median(took) if took else USUAL_START_S
