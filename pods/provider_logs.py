"""Log lines of providers that keep them, fetched while a pod runs. Our own nodes send theirs."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Max

from marketplace.providers.base import ProviderError
from marketplace.registry import adapter_for
from pods import reports
from pods.models import LogLine, Placement
from pods.pricing import OWN_NODES


def collect_later(placement: Placement) -> None:
    """Have a worker fetch new lines, where the provider has any: that takes seconds at some."""
    if "logs" in placement.provider.capabilities and placement.provider_id != OWN_NODES:
        from pods.tasks import collect_logs  # the tasks import the reconciler, and that this module

        collect_logs.delay_on_commit(str(placement.pk))


def collect(placement_id: UUID) -> int:
    """Fetch and store the lines after the last known one. Returns how many there were."""
    placement = Placement.objects.select_related("pod", "provider_account").get(pk=placement_id)
    adapter = adapter_for(placement.provider_id, placement.provider_account)
    try:
        told = adapter.logs(placement.ref, after=placement.log_cursor)
    except ProviderError:
        return 0  # the next look asks again
    if not told:
        return 0
    with transaction.atomic():
        # Whoever stores first moves the cursor; the other's copy of the same lines is dropped.
        moved = Placement.objects.filter(pk=placement.pk, log_cursor=placement.log_cursor).update(
            log_cursor=told[-1].cursor[:200]
        )
        if not moved:
            return 0
        stored = LogLine.objects.filter(pod_id=placement.pod_id, epoch=placement.epoch)
        last = stored.aggregate(last=Max("number"))["last"] or 0
        lines = [(last + count, line.at, "stdout", line.text) for count, line in enumerate(told, 1)]
        reports.store_logs(placement.pod, placement.epoch, lines)
    return len(told)
