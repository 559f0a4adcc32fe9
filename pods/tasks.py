"""What workers do for pods. A lost task costs seconds: every tick finds what is due."""

from __future__ import annotations

import logging
from collections.abc import Collection
from uuid import UUID

from celery import shared_task

from pods import metering, notices, provider_logs, reconcile, spend_limits, sweeping

log = logging.getLogger(__name__)
# A call that waited longer is worth nothing: the next tick makes it again.
STALE_AFTER_S = 5
LOOKS_IN_A_ROW = 3


@shared_task
def reconcile_pods() -> None:
    call_workers(reconcile.due_pods())


def call_workers(pod_ids: Collection[UUID]) -> None:
    """Have workers look at these pods after the commit. Only pods on our own nodes are looked at where pods are kept
    alive: a stranger that hangs must not hold up a failover."""
    ours = reconcile.on_own_nodes(pod_ids) if pod_ids else set()
    for pod_id in pod_ids:
        queue = "control" if pod_id in ours else "work"
        reconcile_pod.apply_async_on_commit((str(pod_id),), queue=queue, expires=STALE_AFTER_S)


@shared_task
def reconcile_pod(pod_id: str) -> None:
    # Again at once when something was asked of the pod while we worked on it.
    for _look in range(LOOKS_IN_A_ROW):
        if not reconcile.reconcile(UUID(pod_id)):
            return


@shared_task
def meter_pods() -> None:
    for placement_id in metering.due_placements():
        try:
            metering.meter(placement_id)
        except Exception:
            # One placement's trouble must not leave the others unbilled; it stays due.
            log.exception("placement %s could not be metered", placement_id)


@shared_task
def tell_people(pod_id: str, news: str, message: str) -> None:
    notices.tell(UUID(pod_id), news, message)


@shared_task
def collect_logs(placement_id: str) -> None:
    provider_logs.collect(UUID(placement_id))


@shared_task
def sweep_orphans() -> None:
    sweeping.sweep()


@shared_task
def prune_pods() -> None:
    sweeping.prune()


@shared_task
def tell_of_spend_limits() -> None:
    spend_limits.tell_of_soft_limits()
