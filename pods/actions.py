"""What people ask of a pod. A wish is written at once; the reconciler works towards it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit, plan_limits
from accounts.actor import Actor
from lib.clock import now
from lib.errors import Conflict, Forbidden
from marketplace.providers.base import ProviderError
from marketplace.registry import adapter_for
from pods import lifecycle, limits, spend_limits
from pods.models import Placement, Pod
from pods.states import RESTING, DesiredStatus, PodStatus, Reason, is_final

AUDITED = frozenset({"user", "api_key", "staff"})
ENDED = frozenset({PodStatus.TERMINATING, PodStatus.TERMINATED})


def want(pod: Pod, desired: DesiredStatus, *, reason: Reason, actor: Actor, message: str = "") -> bool:
    """Write what is wanted, unless the pod is on its way out or it is wanted already. False: nothing was written."""
    with transaction.atomic():
        changed = (
            Pod.objects.filter(pk=pod.pk)
            .exclude(desired_status=DesiredStatus.TERMINATED)
            .exclude(desired_status=desired)
            .update(desired_status=desired, desired_reason=reason)
        )
        if not changed:
            return False
        pod.refresh_from_db(fields=["desired_status", "desired_reason"])
        lifecycle.record(pod, "wanted", actor=actor, new_status=desired, reason=reason, message=message)
        lifecycle.tell_pages(pod)
        lifecycle.wake(pod.pk)
    return True


def stop_pod(*, pod: Pod, actor: Actor) -> Pod:
    """Save a last checkpoint where that is possible, and stop. The disk is kept where the provider can."""
    pod.refresh_from_db()
    if pod.status in ENDED or pod.status in {PodStatus.COMPLETED, PodStatus.FAILED}:
        raise _not_now(pod)
    with transaction.atomic():
        if want(pod, DesiredStatus.STOPPED, reason=Reason.REQUESTED, actor=actor):
            _note(pod, "pod.stop", actor)
    return pod


def start_pod(*, pod: Pod, actor: Actor) -> Pod:
    """Run a resting pod again, from its newest checkpoint where it has one."""
    pod.refresh_from_db()
    if pod.status in ENDED:
        raise _not_now(pod)
    spend_limits.require_room(pod.organisation, pod.created_by, payer=pod.payer)
    with transaction.atomic():
        _require_room_in_plan(pod)
        want(pod, DesiredStatus.RUNNING, reason=Reason.REQUESTED, actor=actor)
        _note(pod, "pod.start", actor)
        if pod.status in RESTING:
            _renew_life(pod)
            lifecycle.switch_status(pod, PodStatus.QUEUED, reason=Reason.REQUESTED, actor=actor, exit_code=None)
    return pod


def _require_room_in_plan(pod: Pod) -> None:
    """A resting pod does not count; when it starts it does, like a new one. Raises Forbidden (`plan_limit`)."""
    plan_limits.lock(pod.organisation)
    pod.refresh_from_db(fields=["status"])
    if pod.status in RESTING and (refusal := limits.refusal_of_next_pod(pod.organisation)):
        raise Forbidden(refusal, code="plan_limit")


def try_next_best(*, pod: Pod, actor: Actor) -> Pod:
    """After a failed search: look again, among all offers that fit and have not just refused."""
    pod.refresh_from_db()
    if pod.status != PodStatus.FAILED:
        raise _not_now(pod)
    spend_limits.require_room(pod.organisation, pod.created_by, payer=pod.payer)
    with transaction.atomic():
        _require_room_in_plan(pod)
        want(pod, DesiredStatus.RUNNING, reason=Reason.REQUESTED, actor=actor)
        _note(pod, "pod.try_next_best", actor)
        _renew_life(pod)
        lifecycle.switch_status(
            pod, PodStatus.QUEUED, reason=Reason.REQUESTED, actor=actor, auto_select=True, offer=None, exit_code=None
        )
    return pod


def terminate_pod(*, pod: Pod, actor: Actor) -> Pod:
    """End it for good. Asking again changes nothing."""
    pod.refresh_from_db()
    if not is_final(pod.status):
        with transaction.atomic():
            if want(pod, DesiredStatus.TERMINATED, reason=Reason.REQUESTED, actor=actor):
                _note(pod, "pod.terminate", actor)
    return pod


def restart_pod(*, pod: Pod, actor: Actor) -> Pod:
    """End the process in order and start it again where it is."""
    _signal(pod, "restart", actor)
    return pod


def crash_pod(*, pod: Pod, actor: Actor) -> Pod:
    """A drill: kill the process and watch it come back from its checkpoint."""
    _signal(pod, "crash", actor)
    return pod


def checkpoint_pod(*, pod: Pod, actor: Actor) -> Pod:
    """Ask the process to save its state now."""
    _signal(pod, "checkpoint", actor)
    return pod


class Signalling(Protocol):
    """What an adapter has whose agents hold the process themselves."""

    def signal(self, ref: str, name: str) -> None: ...


def can_signal(placement: Placement) -> bool:
    return _signalling(placement) is not None


def _signalling(placement: Placement) -> Signalling | None:
    adapter: Any = adapter_for(placement.provider_id, placement.provider_account)
    return adapter if hasattr(adapter, "signal") else None


def _signal(pod: Pod, name: str, actor: Actor) -> None:
    pod.refresh_from_db()
    placement = pod.placements.filter(status=Placement.Status.LIVE).first()
    if pod.status != PodStatus.RUNNING or placement is None:
        raise _not_now(pod)
    adapter = _signalling(placement)
    if adapter is None:
        message = _("%s does not support this: stop the pod and start it again.") % placement.provider
        raise Conflict(message, code="not_supported")
    try:
        adapter.signal(placement.ref, name)
    except ProviderError as refusal:
        raise Conflict(refusal.message, code="refused") from None
    with transaction.atomic():
        lifecycle.record(pod, "signalled", actor=actor, reason=Reason.REQUESTED, data={"signal": name})
        _note(pod, f"pod.{name}", actor)
        lifecycle.tell_pages(pod)


def _note(pod: Pod, action: str, actor: Actor) -> None:
    """What people, keys and staff ask for stands in the audit log too."""
    if actor.kind in AUDITED:
        audit.record(pod.organisation_id, actor, action, pod, {"name": pod.name})


def _renew_life(pod: Pod) -> None:
    """A pod that is started again gets its time to live anew."""
    if pod.ttl_hours:
        pod.ends_at = now() + timedelta(hours=pod.ttl_hours)
        Pod.objects.filter(pk=pod.pk).update(ends_at=pod.ends_at, funds_warned_at=None)


def _not_now(pod: Pod) -> Conflict:
    message = _("A pod that is %s cannot do this.") % str(PodStatus(pod.status).label).lower()
    return Conflict(message, code="wrong_status")
