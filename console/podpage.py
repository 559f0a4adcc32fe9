"""What the pod page shows: phases, cost, place, tabs. Only reading."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.disputes.claims import WINDOW
from catalyst.models import Checkpoint, Failover, NodePod
from pods import metering
from pods.actions import can_signal
from pods.models import LogLine, MetricSample, Payer, Placement, Pod, PodEvent
from pods.states import RESTING, PodStatus

TABS = {
    "logs": _("Logs"),
    "metrics": _("Metrics"),
    "events": _("Events"),
    "checkpoints": _("Checkpoints"),
    "billing": _("Billing"),
}
LOG_ROWS = 300
METRIC_ROWS = 720  # an hour at one sample in five seconds


@dataclass(frozen=True, slots=True)
class Phase:
    """`state` ∈ done | now | next."""

    name: str
    state: str
    seconds: float | None = None


def describe(pod: Pod) -> dict[str, Any]:
    placements = list(pod.placements.select_related("provider", "offer").order_by("-epoch", "-attempt")[:20])
    current = placements[0] if placements else None
    so_far = metering.spent(pod)
    return {
        "pod": pod,
        "placement": current,
        "node": _node_of(current),
        "phases": phases_of(pod, current),
        "tried": [row for row in placements if row.status == Placement.Status.REFUSED],
        "so_far": so_far,
        "cap_percent": min(Decimal(100), so_far / pod.spend_cap * 100) if pod.spend_cap else None,
        "per_day": current.price_per_hour * 24 if current else None,
        "currency": current.currency if current else "USD",
        "last_event_move": Failover.objects.filter(pod=pod)
        .select_related("from_node", "to_node")
        .order_by("-pk")
        .first(),
        "latest_checkpoint": Checkpoint.objects.filter(pod=pod).order_by("-sequence").first(),
        "acts": acts_for(pod, current),
        "tabs": TABS,
        "sample": MetricSample.objects.filter(pod=pod).order_by("-at").first(),
    }


def acts_for(pod: Pod, current: Placement | None) -> list[str]:
    """Names of the acts that make sense now, in the order of their buttons."""
    if pod.status in {PodStatus.TERMINATING, PodStatus.TERMINATED} or pod.desired_status == "terminated":
        return []
    acts = []
    if pod.status == PodStatus.RUNNING and current is not None and can_signal(current):
        acts += ["crash", "restart"]
    if pod.status in RESTING:
        acts += ["start"]
        if pod.status == PodStatus.FAILED and pod.first_running_at is None:
            acts = ["try-next"]
    elif pod.desired_status == "running":
        acts += ["stop"]
    return [*acts, "terminate"]


def _node_of(current: Placement | None) -> NodePod | None:
    if current is None or current.provider_id != "catalyst" or not current.ref:
        return None
    return NodePod.objects.filter(pk=current.ref).select_related("node").first()


def phases_of(pod: Pod, current: Placement | None) -> list[Phase]:
    """Reserved → Creating → Booting → Reachable of the present placement, with the seconds that each took."""
    names = [_("Reserved"), _("Creating"), _("Booting"), _("Reachable")]
    times: list[datetime | None] = (
        [current.requested_at, current.created_at, _booting_at(current), current.reached_at]
        if current
        else [None, None, None, None]
    )
    reached = sum(1 for moment in times if moment is not None)
    over = pod.status in RESTING | {PodStatus.TERMINATED, PodStatus.TERMINATING}
    rows = []
    for index, name in enumerate(names):
        done = index < reached
        state = "done" if done else "now" if index == reached and not over else "next"
        rows.append(
            Phase(str(name), state, _seconds_between(pod.created_at if index == 0 else times[index - 1], times[index]))
        )
    return rows


def _booting_at(current: Placement) -> datetime | None:
    return current.phase_at if current.phase in {"booting", "running"} else current.reached_at


def _seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None


def tab_context(pod: Pod, tab: str) -> dict[str, Any]:
    context: dict[str, Any] = {"pod": pod, "tab": tab}
    if tab == "logs":
        lines = list(LogLine.objects.filter(pod=pod).order_by("-epoch", "-number")[:LOG_ROWS])
        context["lines"] = lines[::-1]
    elif tab == "metrics":
        rows = list(MetricSample.objects.filter(pod=pod).order_by("-at")[:METRIC_ROWS])[::-1]
        context["samples"] = rows
        context["series"] = series_of(rows)
    elif tab == "events":
        context["events"] = PodEvent.objects.filter(pod=pod).order_by("-id")[:200]
    elif tab == "checkpoints":
        context["checkpoints"] = Checkpoint.objects.filter(pod=pod).order_by("-sequence")[:50]
        context["failovers"] = Failover.objects.filter(pod=pod).select_related("from_node", "to_node").order_by("-pk")
    elif tab == "billing":
        context["placements"] = pod.placements.select_related("provider").order_by("epoch", "attempt")
        context["so_far"] = metering.spent(pod)
        paid = pod.placements.filter(payer=Payer.WALLET, billed_amount__gt=0)
        context["dispute_window"] = WINDOW.days
        context["paid_to_owner"] = paid.exclude(operator=None).exclude(operator=pod.organisation).exists()
    return context


def series_of(rows: list[MetricSample]) -> dict[str, list[float | None]]:
    """Columns for a chart: unix seconds, CPU percent of one core, RAM in MB, steps."""
    return {
        "at": [row.at.timestamp() for row in rows],
        "cpu": [row.cpu_percent for row in rows],
        "ram": [row.ram_bytes / 1e6 if row.ram_bytes is not None else None for row in rows],
        "gpu": [row.gpu_percent for row in rows],
        "step": [float(row.step) if row.step is not None else None for row in rows],
    }
