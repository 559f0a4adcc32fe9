"""Leaving a place that is lost. Whoever raises the epoch first has moved the pod; the old place can do nothing more."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.actor import Actor
from lib.clock import now
from pods import lifecycle
from pods.models import OPEN_PLACEMENTS, Placement, Pod
from pods.states import DesiredStatus, PodStatus, Reason

MOVABLE = (PodStatus.PROVISIONING, PodStatus.RUNNING, PodStatus.RECOVERING)


def begin_move(
    *,
    pod_id: UUID,
    seen_epoch: int,
    reason: Reason,
    actor: Actor,
    message: str = "",
    ended_at: datetime | None = None,
) -> bool:
    """Begin the next epoch, if the pod is still in `seen_epoch` and somebody wants it to run. True: we began it.

    The old placement is lost: it ended at `ended_at`, or when it was last seen. A worker that is busy with the pod
    loses its lease, so that what it applies later changes nothing.
    """
    with transaction.atomic():
        changed = Pod.objects.filter(
            pk=pod_id, epoch=seen_epoch, status__in=MOVABLE, desired_status=DesiredStatus.RUNNING
        ).update(epoch=F("epoch") + 1, version=F("version") + 1, lease_token=None, lease_until=None, due_at=Now())
        if not changed:
            return False
        pod = Pod.objects.get(pk=pod_id)
        for placement in pod.placements.filter(epoch=seen_epoch, status__in=OPEN_PLACEMENTS):
            _lose(placement, actor=actor, error=message or str(reason.label), ended_at=ended_at)
        if pod.status == PodStatus.RECOVERING:
            lifecycle.record(pod, "moved", actor=actor, reason=reason, message=message)
            lifecycle.tell_pages(pod)
            lifecycle.wake(pod_id)
        else:
            lifecycle.switch_status(pod, PodStatus.RECOVERING, reason=reason, actor=actor, message=message)
    return True


def _lose(placement: Placement, *, actor: Actor, error: str, ended_at: datetime | None) -> None:
    """A place is paid for until it was last seen, not until its silence was noticed."""
    end = placement.ended_at or ended_at or placement.seen_at or now()
    lifecycle.set_placement_status(
        placement,
        Placement.Status.LOST,
        actor=actor,
        ended_at=end,
        error=error[:500],
        meter_due_at=now(),
    )
