"""The only writer of `Pod.status` and `Placement.status`.

Every change is a compare-and-set together with its line in the timeline, in one transaction. After the commit open
pages hear of it and a worker looks at the pod.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.actor import Actor
from lib import leases
from lib.push import organisation_group, pod_group, push
from pods import notices
from pods.models import Placement, Pod, PodEvent
from pods.states import PodStatus, may_follow

P = Placement.Status
PLACEMENT_TRANSITIONS: dict[str, frozenset[str]] = {
    P.REQUESTED: frozenset({P.CREATING, P.REFUSED, P.ENDING, P.LOST}),
    P.CREATING: frozenset({P.LIVE, P.STOPPED, P.ENDING, P.LOST}),
    P.LIVE: frozenset({P.STOPPED, P.ENDING, P.LOST}),
    P.STOPPED: frozenset({P.CREATING, P.ENDING, P.LOST}),
    P.ENDING: frozenset({P.GONE, P.LOST}),
    P.LOST: frozenset({P.GONE}),
    P.GONE: frozenset(),
    P.REFUSED: frozenset(),
}
# A new search for a place begins here; within it, offers that refused are not asked again.
_SEEKS_ANEW = {
    (PodStatus.STOPPED, PodStatus.QUEUED),
    (PodStatus.COMPLETED, PodStatus.QUEUED),
    (PodStatus.FAILED, PodStatus.QUEUED),
    (PodStatus.PROVISIONING, PodStatus.RECOVERING),
    (PodStatus.RUNNING, PodStatus.RECOVERING),
}


class WrongTransition(Exception):
    """The table of states does not allow this change."""


def switch_status(
    pod: Pod,
    to: str,
    *,
    reason: str,
    actor: Actor,
    message: str = "",
    lease_token: UUID | None = None,
    **columns: Any,
) -> bool:
    """Change the status as `pod` was read, or change nothing and return False. `columns` are set with it.

    The reconciler gives its `lease_token`: then the change also needs the lease. `pod` in memory follows.
    """
    old = pod.status
    if not may_follow(old, to):
        raise WrongTransition(f"{old} → {to}")
    if (old, to) in _SEEKS_ANEW:
        columns.setdefault("seeking_since", Now())
    held = {} if lease_token is None else {"lease_token": lease_token}
    message = message[:500]
    with transaction.atomic():
        changed = Pod.objects.filter(pk=pod.pk, status=old, epoch=pod.epoch, **held).update(
            status=to, reason=reason, message=message, status_at=Now(), version=F("version") + 1, **columns
        )
        if not changed:
            return False
        pod.refresh_from_db(fields=["status", "reason", "message", "status_at", "version", *columns])
        record(pod, "status", actor=actor, old_status=old, new_status=to, reason=reason, message=message)
        notices.plan(pod, f"{to}/{reason}", message)
        tell_pages(pod)
        if lease_token is None:
            wake(pod.pk)
    return True


def set_placement_status(
    placement: Placement, to: str, *, actor: Actor, lease_token: UUID | None = None, **columns: Any
) -> bool:
    """Change a placement's status as it was read, with `columns`; False when somebody else was first."""
    old = placement.status
    if to not in PLACEMENT_TRANSITIONS[old]:
        raise WrongTransition(f"placement {old} → {to}")
    with transaction.atomic():
        # The pod's row first, as everywhere: two writers then wait for each other instead of dying in a deadlock.
        pod = Pod.objects.select_for_update(no_key=True).get(pk=placement.pod_id)
        if lease_token is not None and pod.lease_token != lease_token:
            return False
        if not Placement.objects.filter(pk=placement.pk, status=old).update(status=to, **columns):
            return False
        placement.refresh_from_db(fields=["status", *columns])
        data = {"placement": placement.public_id, "provider": placement.provider_id, "ref": placement.ref}
        message = placement.error if to in {P.REFUSED, P.LOST} else ""
        record(
            pod,
            "placement",
            actor=actor,
            epoch=placement.epoch,
            old_status=old,
            new_status=to,
            message=message,
            data=data,
        )
        Pod.objects.filter(pk=pod.pk).update(version=F("version") + 1)
        pod.version += 1
        tell_pages(pod)
    return True


def record(pod: Pod, kind: str, *, actor: Actor, epoch: int | None = None, **columns: Any) -> PodEvent:
    """One line of the timeline."""
    name = f"{actor.kind}:{actor.id}"[:64]
    return PodEvent.objects.create(
        pod=pod, kind=kind, actor=name, epoch=pod.epoch if epoch is None else epoch, **columns
    )


def tell_pages(pod: Pod) -> None:
    """After the commit: open pages fetch what they show of this pod."""
    event = {"type": "pod.changed", "id": pod.public_id, "version": pod.version, "status": pod.status}
    push(organisation_group(pod.organisation_id), event)
    push(pod_group(pod.pk), event)


def wake(pod_id: UUID) -> None:
    """Make the pod due and call a worker after the commit; should the call be lost, the next tick finds it."""
    from pods.tasks import call_workers  # the tasks import the reconciler, and that this module

    leases.hint(Pod, pod_id)
    call_workers([pod_id])
