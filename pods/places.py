"""Taking a place at a provider: the intention is committed first, the provider is asked after, by an idempotent key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts.models import Organisation
from lib.clock import now
from lib.money import round_money
from lib.secrets import unseal
from marketplace.models import Offer
from marketplace.providers.base import Instance, LaunchRequest, Provider, ProviderError, RateLimited, Rejected
from marketplace.registry import adapter_for
from pods import lifecycle, metering, outages, probes, reports
from pods.models import OPEN_PLACEMENTS, Payer, Placement, Pod, PodSpec
from pods.pricing import DRIFT, price_ceiling, price_of
from pods.states import PodStatus, Reason

P = Placement.Status
ACTOR = actors.worker("pods.reconcile")
ASKED = "asked"
# How long each phase may take, in seconds; then the next offer is tried.
PHASE_LIMITS = {ASKED: 15, "creating": 180, "pulling": 900, "booting": 300, "running": 180, "stopped": 120}
DEFAULT_LIMIT = 180
# A kept instance in one of these has not been started yet, or does not show it.
TO_START = ("starting", "stopped")
GRACE_S = 10.0


def open_placement(pod: Pod) -> Placement | None:
    return pod.placements.filter(status__in=OPEN_PLACEMENTS).select_related("provider", "provider_account").first()


def adapter_of(placement: Placement) -> Provider:
    return adapter_for(placement.provider_id, placement.provider_account)


def reserve(pod: Pod, offer: Offer) -> Placement | None:
    """Commit that the pod goes to this offer, with the money for its first minutes held. None: the lease was lost.

    Raises `metering.OutOfFunds`.
    """
    with transaction.atomic():
        locked = Pod.objects.select_for_update(no_key=True).get(pk=pod.pk)
        if (locked.lease_token, locked.epoch, locked.status) != (pod.lease_token, pod.epoch, pod.status):
            return None
        placement = _new_placement(pod, offer)
        metering.open_hold(placement)
        if pod.status == PodStatus.QUEUED:
            message = _("%(gpu)s at %(provider)s") % {"gpu": placement.gpu_name, "provider": offer.provider.name}
            lifecycle.switch_status(
                pod,
                PodStatus.PROVISIONING,
                reason=Reason.STARTED,
                actor=ACTOR,
                message=message,
                lease_token=pod.lease_token,
            )
    return placement


def ask(pod: Pod, placement: Placement) -> float:
    """Ask the provider for the instance, or find the one that an earlier question made. Seconds until the next look."""
    asked_before = placement.phase == ASKED
    if not asked_before:
        # Committed before the call: after a crash nobody takes the question for unasked.
        Placement.objects.filter(pk=placement.pk).update(phase=ASKED, phase_at=now())
        placement.refresh_from_db()
    try:
        instance = find_or_create(pod, placement, asked_before=asked_before)
    except ProviderError as refusal:
        return _asking_failed(pod, placement, refusal, asked_before=asked_before)
    take_in(pod, placement, instance)
    return 0.0


def find_or_create(pod: Pod, placement: Placement, *, asked_before: bool) -> Instance:
    adapter = adapter_of(placement)
    with outages.watching(placement.provider_id):
        found = adapter.find(placement.key) if asked_before else None
        return found or adapter.create(launch_request(pod, placement))


def take_in(pod: Pod, placement: Placement, instance: Instance, *, probe: bool = True) -> None:
    """Apply what the provider answered. With `probe`, a running instance counts when it was reached."""
    reached = None
    if instance.state == "running":
        reached = probes.is_reachable(instance) if probe else True
    reports.instance_changed(
        placement=placement, instance=instance, actor=ACTOR, reached=reached, lease_token=pod.lease_token
    )


def look(pod: Pod, placement: Placement, *, probe: bool = True) -> None:
    with outages.watching(placement.provider_id):
        instance = adapter_of(placement).get(placement.ref)
    take_in(pod, placement, instance, probe=probe)


def resume_kept(pod: Pod, placement: Placement) -> None:
    """Commit that a kept instance runs again, as a new run of the same placement. Raises `metering.OutOfFunds`."""
    with transaction.atomic():
        metering.close_run(placement)
        metering.open_hold(placement)
        lifecycle.set_placement_status(
            placement, P.CREATING, actor=ACTOR, lease_token=pod.lease_token, phase=TO_START[0], phase_at=now()
        )
        lifecycle.switch_status(
            pod, PodStatus.PROVISIONING, reason=Reason.STARTED, actor=ACTOR, lease_token=pod.lease_token
        )


def is_overdue(placement: Placement) -> bool:
    limit = PHASE_LIMITS.get(placement.phase, DEFAULT_LIMIT)
    return now() > placement.phase_at + timedelta(seconds=limit)


def give_up(pod: Pod, placement: Placement, error: str) -> None:
    """This place takes too long or cannot be asked: what may exist there is ended, and the search goes on."""
    with transaction.atomic():
        if not end(pod, placement, error=error):
            return
        _search_on(pod, error)


def end(pod: Pod, placement: Placement, *, error: str = "") -> bool:
    """Let go of a place. It is over for the customer's account when the provider was told, see `endings`."""
    columns = {"error": error[:500]} if error else {}
    return lifecycle.set_placement_status(placement, P.ENDING, actor=ACTOR, lease_token=pod.lease_token, **columns)


def refuse(pod: Pod, placement: Placement, error: str) -> None:
    """The provider said no and nothing exists: kept with its reason, price and time, and the search goes on."""
    with transaction.atomic():
        if not lifecycle.set_placement_status(
            placement,
            P.REFUSED,
            actor=ACTOR,
            lease_token=pod.lease_token,
            error=error[:500],
            ended_at=now(),
            meter_due_at=None,
        ):
            return
        metering.drop_hold(placement)
        _search_on(pod, error)


def note_lost_choice(pod: Pod, offers: Iterable[Offer]) -> str:
    """When the chosen offer cannot be had any more, say why, once in a search. Empty: it can, or none was chosen."""
    if pod.offer_id is None:
        return ""
    chosen = Offer.objects.select_related("provider", "gpu").get(pk=pod.offer_id)
    if any(offer.pk == chosen.pk for offer in offers):
        return ""
    tried = pod.placements.filter(offer=chosen, requested_at__gte=pod.seeking_since).order_by("-requested_at").first()
    if tried is not None:
        return tried.error
    error = _why_not(pod, chosen)
    with transaction.atomic():
        placement = _new_placement(pod, chosen)
        lifecycle.set_placement_status(placement, P.REFUSED, actor=ACTOR, error=error, ended_at=now())
    return error


def launch_request(pod: Pod, placement: Placement) -> LaunchRequest:
    """The environment is unsealed here, on its way out, and is kept nowhere in the open."""
    offer = placement.offer
    if offer is None:
        raise Rejected(_("The offer of this placement was deleted."))
    return LaunchRequest(
        key=placement.key,
        offer_ref=offer.ref,
        image=pod.image,
        command=list(pod.command),
        env=open_env(pod),
        ports=list(pod.ports),
        disk_gb=pod.disk_gb,
        gpu_name=str(offer.extra.get("gpu_name") or offer.gpu.name),
        gpu_count=offer.gpu_count,
        kind=offer.kind,  # type: ignore[arg-type]
        region=offer.region,
        max_price_per_hour=price_limit(pod, placement),
        extra={
            "pod": str(pod.pk),
            "epoch": placement.epoch,
            "restart_policy": pod.restart_policy,
            "grace_s": GRACE_S,
            "limits": {"disk_bytes": pod.disk_gb * 10**9},
            "mode": pod.mode,
        },
    )


def price_limit(pod: Pod, placement: Placement) -> Decimal:
    """What the provider may ask at the moment of renting; checked there again by the adapter."""
    ceiling = price_ceiling(pod, pod.quoted_price_per_hour)
    return ceiling if ceiling is not None else round_money(placement.provider_price_per_hour * DRIFT)


def open_env(spec: PodSpec) -> dict[str, str]:
    return dict(json.loads(unseal(bytes(spec.sealed_env)))) if spec.sealed_env else {}


def _asking_failed(pod: Pod, placement: Placement, refusal: ProviderError, *, asked_before: bool) -> float:
    if not refusal.retry:
        # After an unclear answer something may exist: then it is ended, and not only crossed out.
        give_up(pod, placement, refusal.message) if asked_before else refuse(pod, placement, refusal.message)
        return 0.0
    if is_overdue(placement):
        give_up(pod, placement, refusal.message)
        return 0.0
    return refusal.retry_after_s if isinstance(refusal, RateLimited) else 1.0


def _search_on(pod: Pod, error: str) -> None:
    if pod.status == PodStatus.PROVISIONING:
        lifecycle.switch_status(
            pod,
            PodStatus.QUEUED,
            reason=Reason.PROVIDER_REFUSED,
            actor=ACTOR,
            message=error,
            lease_token=pod.lease_token,
        )


def _new_placement(pod: Pod, offer: Offer) -> Placement:
    price = price_of(pod, offer)
    epoch, attempt = _next_place(pod)
    if epoch != pod.epoch:
        Pod.objects.filter(pk=pod.pk).update(epoch=epoch)
        pod.epoch = epoch
    return Placement.objects.create(
        pod=pod,
        epoch=epoch,
        attempt=attempt,
        offer=offer,
        provider=offer.provider,
        provider_account=pod.provider_account if pod.payer == Payer.OWN_KEY else None,
        operator=_operator_of(offer),
        payer=pod.payer,
        price_per_hour=price.per_hour,
        currency=price.currency,
        provider_price_per_hour=price.provider_per_hour,
        gpu_name=f"{offer.gpu_count} × {offer.gpu.name}"[:80],
        region=offer.region,
        phase="reserved",
    )


def _next_place(pod: Pod) -> tuple[int, int]:
    """Epoch and attempt of the next placement.

    Offers that refused cleanly share an epoch, for nothing ran there. After a placement that may have had an instance
    comes a new epoch, so that whatever is left of it is stale.
    """
    here = pod.placements.filter(epoch=pod.epoch)
    if pod.epoch and not here.exclude(status=P.REFUSED).exists():
        return pod.epoch, (here.aggregate(last=Max("attempt"))["last"] or 0) + 1
    return pod.epoch + 1, 1


def _operator_of(offer: Offer) -> Organisation | None:
    """The owner of the machine, as our own nodes' offers name it."""
    named = offer.extra.get("operator")
    return Organisation.objects.filter(pk=named).first() if isinstance(named, str) and named else None


def _why_not(pod: Pod, offer: Offer) -> str:
    ceiling = price_ceiling(pod, pod.quoted_price_per_hour)
    if offer.withdrawn_at is not None or offer.available_count == 0:
        return _("The offer was taken or withdrawn.")
    if ceiling is not None and offer.price_per_hour > ceiling:
        values = {"new": offer.price_per_hour, "most": ceiling}
        return _("The price rose to %(new)s USD/h; the agreed maximum was %(most)s USD/h.") % values
    return _("The offer cannot be rented now.")
