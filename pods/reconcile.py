"""Working towards what is wanted: claim a due pod, act at the provider with no transaction open, apply under the lease.

Each handler takes one step for one status and answers in how many seconds the pod is due again; AGAIN means that it
changed and is looked at once more under the same lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from lib import leases
from lib.clock import now
from marketplace.models import Offer
from marketplace.providers.base import ProviderError
from pods import actions, endings, lifecycle, metering, notices, outages, places, placing, provider_logs
from pods.models import Placement, Pod
from pods.moves import begin_move
from pods.places import ACTOR, open_placement
from pods.pricing import OWN_NODES
from pods.states import DesiredStatus, PodStatus, Reason

log = logging.getLogger(__name__)
S = PodStatus
P = Placement.Status
AGAIN: Final = 0.0
MAX_STEPS = 8
# Longer than any chain of calls that one step can make; each call has its own time limit of 10 s.
LEASE_S = 60.0
RUNNING_LOOK_S = 15.0
OUTAGE_LOOK_S = 5.0
SOON_S = 1.0
RESTING_LOOK_S = 3600.0
LONGEST_BACKOFF_S = 30.0
# A pod that nobody has a place for waits so long before it fails.
PATIENCE = timedelta(minutes=2)
MAX_REFUSALS = 5
OVERDUE = timedelta(minutes=10)
TOO_POOR = gettext_lazy("The balance, or a spend limit, does not cover the first minutes.")


class LeaseLost(Exception):
    """Somebody else works on the pod now; nothing of ours may be applied any more."""


def due_pods(limit: int = 100) -> list[UUID]:
    """Pods to look at now, the longest waiting first."""
    free = _workable().filter(Q(lease_until=None) | Q(lease_until__lt=Now()), due_at__lte=Now())
    return list(free.order_by("due_at").values_list("pk", flat=True)[:limit])


def on_own_nodes(pod_ids: Collection[UUID]) -> set[UUID]:
    """Those of the pods whose looks wait for no stranger: their present place is a node of ours."""
    newest = Placement.objects.filter(pod=OuterRef("pk")).order_by("-epoch", "-attempt")
    rows = Pod.objects.filter(pk__in=pod_ids).annotate(place=Subquery(newest.values("provider_id")[:1]))
    return set(rows.filter(place=OWN_NODES).values_list("pk", flat=True))


def reconcile(pod_id: UUID) -> bool:
    """Claim this pod, if it is due and free, and work on it. False: there was nothing to do."""
    claimed = leases.claim_due(_workable().filter(pk=pod_id), limit=1, seconds=LEASE_S)
    if not claimed:
        return False
    pod = claimed[0]
    try:
        due_in = work_on(pod)
    except LeaseLost:
        leases.release(pod, due_in=SOON_S)  # changes nothing when it is somebody else's by now
    except ProviderError as failure:
        leases.release_failed(pod, failure.message, longest=LONGEST_BACKOFF_S)
    except Exception as error:
        log.exception("pod %s could not be worked on", pod.public_id)
        leases.release_failed(pod, f"{type(error).__name__}: {error}")
    else:
        leases.release(pod, due_in=due_in)
    return True


def work_on(pod: Pod) -> float:
    """All steps that can be taken now. Seconds until the next look."""
    due_in = AGAIN
    for _step in range(MAX_STEPS):
        _reload(pod)
        if not _follow_wish(pod):
            due_in = HANDLERS[pod.status](pod)
        if due_in != AGAIN:
            break
    _reload(pod)
    return _end_leftovers(pod, due_in or SOON_S)


def _workable() -> QuerySet[Pod]:
    return Pod.objects.exclude(status=S.TERMINATED).select_related("organisation", "provider_account")


def _reload(pod: Pod) -> None:
    token = pod.lease_token
    pod.refresh_from_db()
    if pod.lease_token != token:
        pod.lease_token = token  # never adopt another's lease
        raise LeaseLost


def _switch(pod: Pod, to: str, reason: str, message: str = "") -> None:
    if not lifecycle.switch_status(pod, to, reason=reason, actor=ACTOR, message=message, lease_token=pod.lease_token):
        raise LeaseLost


def _follow_wish(pod: Pod) -> bool:
    """Turn the status towards what is wanted. True when it changed."""
    if _time_is_over(pod):
        actions.want(pod, DesiredStatus.TERMINATED, reason=Reason.TIME_OVER, actor=ACTOR)
    if pod.desired_status == DesiredStatus.TERMINATED and pod.status != S.TERMINATING:
        to = S.TERMINATING
    elif pod.desired_status == DesiredStatus.STOPPED and pod.status in {S.QUEUED, S.SCHEDULED}:
        to = S.STOPPED
    elif pod.desired_status == DesiredStatus.STOPPED and pod.status in {S.PROVISIONING, S.RUNNING, S.RECOVERING}:
        to = S.STOPPING
    elif pod.desired_status == DesiredStatus.RUNNING and pod.status == S.STOPPED:
        to = S.QUEUED
    else:
        return False
    _switch(pod, to, pod.desired_reason or Reason.REQUESTED)
    return True


def _time_is_over(pod: Pod) -> bool:
    if pod.ends_at is None or pod.status in {S.COMPLETED, S.FAILED}:
        return False
    return now() >= pod.ends_at and pod.desired_status != DesiredStatus.TERMINATED


def _scheduled(pod: Pod) -> float:
    _switch(pod, S.QUEUED, pod.reason)
    return AGAIN


def _queued(pod: Pod) -> float:
    kept = open_placement(pod)
    return _seek(pod) if kept is None else _start_kept(pod, kept)


def _start_kept(pod: Pod, kept: Placement) -> float:
    """The disk was kept: the same instance is started again."""
    try:
        places.resume_kept(pod, kept)
    except metering.OutOfFunds:
        _reload(pod)
        actions.want(pod, DesiredStatus.STOPPED, reason=Reason.NO_FUNDS, actor=ACTOR, message=str(TOO_POOR))
    return AGAIN


def _seek(pod: Pod) -> float:
    offers = placing.choose_offers(pod, placing.offers_to_avoid(pod))
    problem = places.note_lost_choice(pod, offers) if pod.status == S.QUEUED else ""
    refusals = pod.placements.filter(requested_at__gte=pod.seeking_since, reached_at=None).exclude(error="").count()
    if not offers or (refusals >= MAX_REFUSALS and pod.status == S.QUEUED):
        return _no_place(pod, problem, refusals)
    return _reserve(pod, offers[0])


def _reserve(pod: Pod, offer: Offer) -> float:
    try:
        if places.reserve(pod, offer) is None:
            raise LeaseLost
    except metering.OutOfFunds:
        _reload(pod)  # what was written was undone
        if pod.status == S.QUEUED:
            _switch(pod, S.FAILED, Reason.NO_FUNDS, str(TOO_POOR))
        else:
            actions.want(pod, DesiredStatus.STOPPED, reason=Reason.NO_FUNDS, actor=ACTOR, message=str(TOO_POOR))
    return AGAIN


def _no_place(pod: Pod, problem: str, refusals: int) -> float:
    """A pod that ran waits for capacity as long as it lives; a new one for two minutes, if nobody refused it."""
    if pod.status == S.RECOVERING or (not refusals and now() < pod.seeking_since + PATIENCE):
        _say(pod, _("No matching place is free right now; still looking."))
        return 2 * SOON_S
    reason = Reason.PROVIDER_REFUSED if refusals else Reason.NO_CAPACITY
    _switch(pod, S.FAILED, reason, problem or pod.message or _("No matching offer could be rented."))
    return AGAIN


def _say(pod: Pod, message: str) -> None:
    if pod.message != message:
        Pod.objects.filter(pk=pod.pk, lease_token=pod.lease_token).update(message=message)
        lifecycle.tell_pages(pod)


def _provisioning(pod: Pod) -> float:
    placement = open_placement(pod)
    if placement is None:
        _switch(pod, S.QUEUED, pod.reason)
        return AGAIN
    return _bring_up(pod, placement)


def _recovering(pod: Pod) -> float:
    placement = open_placement(pod)
    return _seek(pod) if placement is None else _bring_up(pod, placement)


def _bring_up(pod: Pod, placement: Placement) -> float:
    """From the question to the first connection; each phase has its limit."""
    if placement.status == P.REQUESTED:
        return places.ask(pod, placement)
    try:
        if placement.phase in places.TO_START:
            places.adapter_of(placement).start(placement.ref)
        places.look(pod, placement)
    except ProviderError as failure:
        if failure.retry and not places.is_overdue(placement):
            raise
        places.give_up(pod, placement, failure.message)
        return AGAIN
    placement.refresh_from_db()
    if placement.status != P.CREATING:
        return AGAIN
    if places.is_overdue(placement):
        places.give_up(pod, placement, _("It was not reachable in time (%s).") % placement.phase)
        return AGAIN
    return SOON_S


def _running(pod: Pod) -> float:
    placement = open_placement(pod)
    if placement is None:
        begin_move(pod_id=pod.pk, seen_epoch=pod.epoch, reason=Reason.INSTANCE_LOST, actor=ACTOR)
        raise LeaseLost
    if outages.is_out(placement.provider_id):
        return OUTAGE_LOOK_S  # it runs on; nobody can say more
    places.look(pod, placement, probe=False)
    _reload(pod)
    if pod.status != S.RUNNING:
        return AGAIN
    provider_logs.collect_later(placement)
    return _until_end(pod, 2 * RUNNING_LOOK_S if placement.provider_id == OWN_NODES else RUNNING_LOOK_S)


def _until_end(pod: Pod, longest: float) -> float:
    if pod.ends_at is None:
        return longest
    return min(longest, max(SOON_S, (pod.ends_at - now()).total_seconds()))


def _stopping(pod: Pod) -> float:
    placement = open_placement(pod)
    if placement is None or placement.status == P.STOPPED:
        if placement is None and pod.placements.filter(status=P.ENDING).exists():
            return 2 * SOON_S
        _switch(pod, S.STOPPED, pod.reason, pod.message)
        return AGAIN
    if placement.status == P.REQUESTED or "stop" not in placement.provider.capabilities:
        places.end(pod, placement)
        return AGAIN
    return _stop_instance(pod, placement)


def _stop_instance(pod: Pod, placement: Placement) -> float:
    places.look(pod, placement, probe=False)
    placement.refresh_from_db()
    if placement.status not in {P.CREATING, P.LIVE}:
        return AGAIN
    try:
        places.adapter_of(placement).stop(placement.ref)
    except ProviderError as refusal:
        if refusal.retry:
            raise
        places.end(pod, placement, error=refusal.message)
        return AGAIN
    return SOON_S


def _resting(pod: Pod) -> float:
    kept = open_placement(pod)
    if kept is None:
        return RESTING_LOOK_S
    if pod.status == S.STOPPED:
        places.look(pod, kept, probe=False)
        return _until_end(pod, RESTING_LOOK_S)
    places.end(pod, kept)
    return AGAIN


def _terminating(pod: Pod) -> float:
    placement = open_placement(pod)
    if placement is not None:
        places.end(pod, placement)
        return AGAIN
    if endings.leftovers(pod):
        _complain_in_time(pod)
        return 2 * SOON_S
    if lifecycle.switch_status(
        pod,
        S.TERMINATED,
        reason=Reason.CONFIRMED_GONE,
        actor=ACTOR,
        lease_token=pod.lease_token,
        terminated_at=now(),
    ):
        return RESTING_LOOK_S
    raise LeaseLost


def _complain_in_time(pod: Pod) -> None:
    """A pod that the provider will not let go of stays red, and people hear of it, once."""
    if now() < pod.status_at + OVERDUE or pod.events.filter(kind="overdue").exists():
        return
    message = _("The provider still shows it: %s") % (pod.last_error[:200] or _("no reason was given"))
    with transaction.atomic():
        lifecycle.record(pod, "overdue", actor=ACTOR, message=message)
        notices.plan(pod, notices.OVERDUE, message)
        lifecycle.tell_pages(pod)


def _end_leftovers(pod: Pod, due_in: float) -> float:
    """Whatever a former place left behind is ended beside everything else."""
    over = False
    remaining = endings.leftovers(pod)
    for placement in remaining:
        if not outages.is_out(placement.provider_id):
            over = endings.advance(pod, placement) or over
    if over and pod.status in {S.TERMINATING, S.STOPPING}:
        return SOON_S / 4
    return min(due_in, endings.GONE_APART.total_seconds()) if remaining else due_in


HANDLERS: dict[str, Callable[[Pod], float]] = {
    S.SCHEDULED: _scheduled,
    S.QUEUED: _queued,
    S.PROVISIONING: _provisioning,
    S.RUNNING: _running,
    S.RECOVERING: _recovering,
    S.STOPPING: _stopping,
    S.TERMINATING: _terminating,
    S.STOPPED: _resting,
    S.COMPLETED: _resting,
    S.FAILED: _resting,
}
