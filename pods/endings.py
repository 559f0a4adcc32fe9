"""Ending an instance until the provider was seen without it, twice. Then, and not before, there is a receipt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction

from accounts import actor as actors
from lib.clock import now
from lib.money import money_json
from marketplace.providers.base import Instance
from marketplace.registry import adapter_for
from pods import lifecycle, metering, outages, receipts
from pods.models import Placement, Pod
from pods.pricing import OWN_NODES

P = Placement.Status
ACTOR = actors.worker("pods.reconcile")
LEFTOVERS = (P.ENDING, P.LOST)
# Between the two looks, so that one lagging answer of the provider is not taken for two.
GONE_APART = timedelta(seconds=3)


def leftovers(pod: Pod) -> list[Placement]:
    rows = pod.placements.filter(status__in=LEFTOVERS).select_related("provider", "provider_account")
    return list(rows.order_by("epoch", "attempt"))


def advance(pod: Pod, placement: Placement) -> bool:
    """One step towards the end of an instance: end it, see it gone, see it gone again. True when it is over.

    Raises ProviderError when the provider cannot be asked; nothing is taken for gone then.
    """
    adapter = adapter_for(placement.provider_id, placement.provider_account)
    with outages.watching(placement.provider_id):
        instance = adapter.get(placement.ref) if placement.ref else adapter.find(placement.key)
    if instance is None or instance.state == "gone":
        return _seen_gone(pod, placement)
    _note_alive(placement, instance)
    adapter.terminate(instance.ref)
    if placement.ended_at is None:
        Placement.objects.filter(pk=placement.pk, ended_at=None).update(ended_at=now(), meter_due_at=now())
    return False


def _note_alive(placement: Placement, instance: Instance) -> None:
    columns: dict[str, Any] = {"seen_gone": 0, "seen_gone_at": None, "ref": instance.ref}
    first_hand = placement.provider_id != OWN_NODES
    if instance.state == "running" and first_hand and placement.reached_at and placement.ended_at is None:
        columns["seen_at"] = now()
    Placement.objects.filter(pk=placement.pk).update(**columns)
    placement.refresh_from_db()


def _seen_gone(pod: Pod, placement: Placement) -> bool:
    if placement.seen_gone == 0 or placement.seen_gone_at is None:
        end = placement.ended_at or now()
        Placement.objects.filter(pk=placement.pk).update(seen_gone=1, seen_gone_at=now(), ended_at=end)
        return False
    if now() - placement.seen_gone_at < GONE_APART:
        return False
    metering.finish(placement)
    with transaction.atomic():
        return lifecycle.set_placement_status(
            placement,
            P.GONE,
            actor=ACTOR,
            lease_token=pod.lease_token,
            seen_gone=2,
            receipt=receipts.sign(_facts(pod, placement)),
        )


def _facts(pod: Pod, placement: Placement) -> dict[str, Any]:
    def when(moment: Any) -> str | None:
        return moment.isoformat() if moment else None

    return {
        "pod": pod.public_id,
        "placement": placement.public_id,
        "epoch": placement.epoch,
        "organisation": pod.organisation.public_id,
        "provider": placement.provider_id,
        "ref": placement.ref,
        "gpu": placement.gpu_name,
        "requested_at": when(placement.requested_at),
        "reached_at": when(placement.reached_at),
        "ended_at": when(placement.ended_at),
        "seen_gone_at": [when(placement.seen_gone_at), when(now())],
        "earlier_seconds": placement.earlier_seconds,  # of runs before a stop that kept the disk
        "billed_seconds": placement.billed_seconds,
        "billed": money_json(placement.billed_amount, placement.currency),
        "price_per_hour": money_json(placement.price_per_hour, placement.currency),
        "payer": placement.payer,
    }
