"""Orphans: instances that carry our tag and belong to no present placement. Nothing else is ever ended here."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from accounts import actor as actors
from lib.clock import now
from marketplace.models import Provider, ProviderAccount
from marketplace.providers.base import Instance, ProviderError
from marketplace.providers.base import Provider as Adapter
from marketplace.registry import adapter_for
from pods import lifecycle
from pods.endings import LEFTOVERS
from pods.models import OPEN_PLACEMENTS, LogLine, MetricSample, Placement
from pods.pricing import OWN_NODES

log = logging.getLogger(__name__)
ACTOR = actors.worker("pods.sweep")
KEY = re.compile(r"^gpubroker-([0-9a-f]{32})-(\d{1,9})-(\d{1,4})$")
# A provider may show an instance late: accounts are looked at for so long after their last placement.
LOOK_BACK = timedelta(days=2)
LOG_LINES_KEPT = 5000
METRICS_KEPT = timedelta(hours=24)


def sweep() -> int:
    """End stale instances at every provider in use. Returns how many were ended; a failing provider is skipped."""
    ended = 0
    for adapter in _adapters_in_use():
        try:
            for instance in adapter.list_instances():
                ended += _end_if_orphan(adapter, instance)
        except ProviderError as failure:
            log.warning("orphans at %s were not swept: %s", adapter.slug, failure.message)
    return ended


def _adapters_in_use() -> Iterator[Adapter]:
    used = Placement.objects.filter(
        Q(status__in=[*OPEN_PLACEMENTS, *LEFTOVERS]) | Q(requested_at__gte=now() - LOOK_BACK)
    )
    pairs: set[tuple[str, UUID | None]] = set(used.values_list("provider_id", "provider_account_id"))
    accounts = ProviderAccount.objects.in_bulk([account for _, account in pairs if account is not None])
    for slug, account_id in sorted(pairs, key=str):
        if not Provider.objects.filter(pk=slug, capabilities__contains=["rent"]).exists():
            continue
        if account_id is None and slug != OWN_NODES and not settings.PROVIDER_KEYS.get(slug):
            continue
        try:
            yield adapter_for(slug, accounts[account_id] if account_id is not None else None)
        except ProviderError as failure:
            log.warning("orphans at %s were not swept: %s", slug, failure.message)


def _end_if_orphan(adapter: Adapter, instance: Instance) -> bool:
    placement = placement_of(instance.key)
    if placement is None or instance.state == "gone" or not _is_stale(placement):
        return False
    adapter.terminate(instance.ref)
    log.warning("an orphan of %s at %s was ended: %s", placement, adapter.slug, instance.ref)
    data = {"provider": adapter.slug, "ref": instance.ref}
    lifecycle.record(placement.pod, "orphan_ended", actor=ACTOR, epoch=placement.epoch, data=data)
    return True


def placement_of(key: str) -> Placement | None:
    """The placement that a tag names. Another installation's tags name none of ours."""
    found = KEY.match(key)
    if found is None:
        return None
    pod, epoch, attempt = UUID(hex=found[1]), int(found[2]), int(found[3])
    return Placement.objects.filter(pod_id=pod, epoch=epoch, attempt=attempt).select_related("pod").first()


def _is_stale(placement: Placement) -> bool:
    """Over for us. Those that the reconciler is ending right now are left to it."""
    return placement.status in {Placement.Status.GONE, Placement.Status.REFUSED}


def prune() -> None:
    """Keep the last 5,000 lines of each pod and the metrics of a day."""
    MetricSample.objects.filter(at__lt=now() - METRICS_KEPT).delete()
    for pod_id in LogLine.objects.values_list("pod_id", flat=True).distinct().order_by():
        oldest = LogLine.objects.filter(pod_id=pod_id).order_by("-id").values_list("id", flat=True)
        first_kept = oldest[LOG_LINES_KEPT - 1 : LOG_LINES_KEPT].first()
        if first_kept is not None:
            LogLine.objects.filter(pod_id=pod_id, id__lt=first_kept).delete()
