"""What is told about a pod: by the node that runs it, or by what a provider answered. One path for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.actor import Actor
from lib.clock import now
from lib.push import pod_group, push
from marketplace.providers.base import Instance
from pods import lifecycle, probes
from pods.models import LogLine, MetricSample, Placement, Pod
from pods.moves import begin_move
from pods.pricing import OWN_NODES
from pods.states import PodStatus, Reason

S = PodStatus
P = Placement.Status
TEXT_LIMIT = 4000
# An instance that keeps failing at each new place is the customer's program, not the places.
MAX_FAILED_PLACES = 5
FAILED_PLACES_WITHIN = timedelta(minutes=10)
LogTold = tuple[int, datetime, str, str]  # number, time, stream, text


def instance_changed(
    *,
    placement: Placement,
    instance: Instance,
    actor: Actor,
    reached: bool | None = None,
    restarts: int | None = None,
    lease_token: UUID | None = None,
) -> None:
    """Let the placement and its pod follow what is known of the instance. A stale epoch changes nothing.

    `reached` says how the probe went; None means that nobody knocked: then a running instance counts as reached only
    when there is nothing to knock at. Repeating a report changes nothing.
    """
    with transaction.atomic():
        pod = Pod.objects.select_for_update(no_key=True).get(pk=placement.pod_id)
        if lease_token is not None and pod.lease_token != lease_token:
            return
        placement.refresh_from_db()
        if placement.epoch != pod.epoch:
            return
        _note_sight(pod, placement, instance, actor)
        if restarts is not None and restarts > pod.restarts:
            _note_restarts(pod, restarts, instance, actor)
        if not placement.is_open:
            return
        if instance.state == "running" and reached is None:
            reached = not probes.targets(instance)
        report = _Report(pod, placement, instance, actor, bool(reached))
        _FOLLOW[instance.state](report)
        if actor.kind == "node" and instance.state == "running" and not reached:
            lifecycle.wake(pod.pk)  # somebody has to knock


class _Report:
    """One report about a locked pod, while it is being applied."""

    def __init__(self, pod: Pod, placement: Placement, instance: Instance, actor: Actor, reached: bool) -> None:
        self.pod = pod
        self.placement = placement
        self.instance = instance
        self.actor = actor
        self.reached = reached

    def switch(self, to: str, reason: str, message: str = "", **columns: Any) -> None:
        lifecycle.switch_status(self.pod, to, reason=reason, actor=self.actor, message=message, **columns)

    def switch_placement(self, to: str, **columns: Any) -> None:
        if self.placement.status != to:
            lifecycle.set_placement_status(self.placement, to, actor=self.actor, **columns)

    def end_placement(self, error: str = "") -> None:
        """Whatever is left of the instance is ended by the reconciler, and seen gone."""
        end = self.placement.ended_at or now()
        self.switch_placement(P.ENDING, ended_at=end, error=error[:500], meter_due_at=now())


def _note_sight(pod: Pod, placement: Placement, instance: Instance, actor: Actor) -> None:
    """Where the instance is and what it does, and whether this proves that it ran until now."""
    columns: dict[str, Any] = {}
    if instance.ref and not placement.ref:
        columns |= {"ref": instance.ref, "created_at": now()}
    if instance.state != placement.phase:
        columns |= {"phase": instance.state, "phase_at": now()}
    if instance.ssh_host:
        columns |= {"ssh_host": instance.ssh_host, "ssh_port": instance.ssh_port, "ssh_user": instance.ssh_user[:32]}
    if instance.ports:
        columns["ports"] = {str(inside): outside for inside, outside in instance.ports.items()}
    # What our own nodes' adapter answers is only what the node told last; the node itself must speak.
    first_hand = actor.kind == "node" or placement.provider_id != OWN_NODES
    if first_hand and placement.reached_at and not placement.ended_at:
        if instance.state == "running":
            columns["seen_at"] = now()
        elif actor.kind == "node" and instance.state in {"exited", "failed", "stopped", "gone"}:
            columns |= {"seen_at": now(), "ended_at": now(), "meter_due_at": now()}
    if columns:
        Placement.objects.filter(pk=placement.pk).update(**columns)
        placement.refresh_from_db()
        if "phase" in columns and placement.is_open:
            lifecycle.tell_pages(pod)


def _note_restarts(pod: Pod, restarts: int, instance: Instance, actor: Actor) -> None:
    Pod.objects.filter(pk=pod.pk).update(restarts=restarts)
    pod.restarts = restarts
    data = {"restarts": restarts, "exit_code": instance.exit_code}
    lifecycle.record(pod, "restarted", actor=actor, message=_("Its process ended and was started again."), data=data)
    lifecycle.tell_pages(pod)


def _being_made(report: _Report) -> None:
    if report.placement.status == P.REQUESTED:
        report.switch_placement(P.CREATING)


def _runs(report: _Report) -> None:
    _being_made(report)
    if not report.reached or report.placement.status == P.STOPPED:
        return
    if report.placement.status == P.CREATING:
        report.switch_placement(P.LIVE, reached_at=now(), seen_at=now(), ended_at=None, meter_due_at=now())
    if report.pod.status in {S.PROVISIONING, S.RECOVERING}:
        first = report.pod.first_running_at or now()
        report.switch(S.RUNNING, Reason.REACHED, first_running_at=first, exit_code=None)


def _stopped(report: _Report) -> None:
    if report.pod.status == S.STOPPING:
        end = report.placement.ended_at or now()
        report.switch_placement(P.STOPPED, ended_at=end, meter_due_at=now())
        report.switch(S.STOPPED, report.pod.reason, report.pod.message)
    elif report.pod.status in {S.RUNNING, S.RECOVERING} and report.placement.status == P.LIVE:
        spot = report.pod.kind == "spot"
        _move(report, Reason.PREEMPTED if spot else Reason.INSTANCE_LOST)
    # While it is being started the provider may still call it stopped: the time limit of the phase decides.


def _exited(report: _Report) -> None:
    code = report.instance.exit_code or 0
    if code:
        return _failed(report)
    report.end_placement()
    if report.pod.status in {S.PROVISIONING, S.RUNNING, S.RECOVERING}:
        report.switch(S.COMPLETED, Reason.EXITED, exit_code=code)
    return None


def _failed(report: _Report) -> None:
    code, message = report.instance.exit_code, report.instance.message
    active = report.pod.status in {S.PROVISIONING, S.RUNNING, S.RECOVERING}
    if code is not None and active:
        report.end_placement(message)
        report.switch(S.FAILED, Reason.CRASHED, message or _("Its process ended with code %s.") % code, exit_code=code)
    elif report.pod.status == S.PROVISIONING:
        report.end_placement(message or _("The provider could not start it."))
        report.switch(S.QUEUED, Reason.PROVIDER_REFUSED, message)
    elif active and _failed_places(report.pod) >= MAX_FAILED_PLACES:
        report.end_placement(message)
        report.switch(S.FAILED, Reason.CRASHED, _("It failed at %s places in a row.") % MAX_FAILED_PLACES)
    elif active:
        _move(report, Reason.INSTANCE_LOST)
    else:
        report.end_placement(message)


def _gone(report: _Report) -> None:
    status = report.pod.status
    if status == S.PROVISIONING:
        report.end_placement(report.instance.message or _("The provider no longer knows the instance."))
        report.switch(S.QUEUED, Reason.INSTANCE_LOST)
    elif status in {S.RUNNING, S.RECOVERING}:
        _move(report, Reason.INSTANCE_LOST)
    else:
        report.end_placement(report.placement.error)


def _move(report: _Report, reason: Reason) -> None:
    begin_move(
        pod_id=report.pod.pk,
        seen_epoch=report.pod.epoch,
        reason=reason,
        actor=report.actor,
        message=report.instance.message,
    )


def _failed_places(pod: Pod) -> int:
    return pod.placements.filter(phase="failed", requested_at__gte=now() - FAILED_PLACES_WITHIN).count()


_FOLLOW: dict[str, Callable[[_Report], None]] = {
    "creating": _being_made,
    "pulling": _being_made,
    "booting": _being_made,
    "running": _runs,
    "stopped": _stopped,
    "exited": _exited,
    "failed": _failed,
    "gone": _gone,
}


def store_logs(pod: Pod, epoch: int, lines: Sequence[LogTold]) -> int:
    """Store lines, each once, and send them to open pages. Returns the number of the last one."""
    rows = [
        LogLine(pod=pod, epoch=epoch, number=number, at=at, stream=stream[:8], text=_storable(text))
        for number, at, stream, text in lines
    ]
    LogLine.objects.bulk_create(rows, ignore_conflicts=True)
    if rows:
        push(pod_group(pod.pk), {"type": "pod.logs", "id": pod.public_id, "lines": [line_json(row) for row in rows]})
    return max((row.number for row in rows), default=0)


def line_json(line: LogLine) -> dict[str, Any]:
    return {
        "epoch": line.epoch,
        "n": line.number,
        "at": line.at.isoformat(),
        "stream": line.stream,
        "text": line.text,
    }


def store_metric(pod: Pod, epoch: int, sample: dict[str, Any]) -> None:
    """Store one sample as an agent sends it. It also proves that the pod's present epoch runs."""
    at = datetime.fromtimestamp(sample["at"], UTC)
    cards = sample.get("gpus") or []
    row = MetricSample.objects.create(
        pod=pod,
        epoch=epoch,
        at=at,
        cpu_percent=sample.get("cpu_percent"),
        ram_bytes=sample.get("ram_bytes"),
        disk_bytes=sample.get("disk_bytes"),
        gpu_percent=_mean([card.get("util_percent") for card in cards]),
        vram_bytes=_sum_mb([card.get("vram_used_mb") for card in cards]),
        step=sample.get("step"),
    )
    # Our own clock, not the agent's: a machine whose clock is ahead must not bill the future.
    Placement.objects.filter(
        pod=pod, epoch=epoch, pod__epoch=epoch, status=P.LIVE, ended_at=None, reached_at__isnull=False
    ).update(seen_at=now())
    push(pod_group(pod.pk), {"type": "pod.metrics", "id": pod.public_id, "sample": sample_json(row)})


def sample_json(sample: MetricSample) -> dict[str, Any]:
    names = ("epoch", "cpu_percent", "ram_bytes", "disk_bytes", "gpu_percent", "vram_bytes", "step")
    return {"at": sample.at.isoformat()} | {name: getattr(sample, name) for name in names}


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL; a line of a program may hold anything."""
    return text.replace("\x00", "�")[:TEXT_LIMIT]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum_mb(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) * 1024 * 1024 if known else None
