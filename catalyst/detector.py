"""Who is alive: the verdict over silent nodes, by the database's clock alone.

A lease that ran out while nobody listened says nothing: a node is called dead only when some ingest process has
listened without a gap for longer than a lease. Suspicion (half a lease of silence) only keeps new pods away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from catalyst.failover import move_pods_away
from catalyst.lifecycle import switch_node_status
from catalyst.models import BeatIngest, Node
from catalyst.offers import publish_offers
from catalyst.states import NodeStatus

# Reconnecting after a restart of ours takes an agent at most 5 s (its longest back-off).
RECONNECT_S = 6.0
INGEST_FRESH_S = 2.5


@dataclass(slots=True)
class Verdicts:
    suspect: list[UUID] = field(default_factory=list)
    dead: list[UUID] = field(default_factory=list)
    moved: int = 0


def watch() -> Verdicts:
    """One look at all leases. Safe to run in several processes: every step is a compare-and-set."""
    verdicts = Verdicts()
    if not _somebody_listened():
        return verdicts
    for node in _silent(settings.NODE_LEASE_SECONDS / 2).filter(status=NodeStatus.ALIVE):
        if switch_node_status(node.pk, old=node.status, new=NodeStatus.SUSPECT, message="silent for half a lease"):
            verdicts.suspect.append(node.pk)
    for node in _silent(settings.NODE_LEASE_SECONDS):
        if switch_node_status(node.pk, old=node.status, new=NodeStatus.DEAD, message="its lease ended"):
            verdicts.dead.append(node.pk)
    if verdicts.suspect or verdicts.dead:
        publish_offers()
    # All pods of dead nodes, not only of those found just now: a worker may have died between the two steps.
    for node in Node.objects.filter(status=NodeStatus.DEAD):
        verdicts.moved += move_pods_away(node, cause="node_lost")
    return verdicts


def _silent(seconds: float) -> QuerySet[Node]:
    """Nodes whose lease says that they were silent for `seconds`."""
    spare = timedelta(seconds=settings.NODE_LEASE_SECONDS - seconds)
    watched = Q(status__in=[NodeStatus.ALIVE, NodeStatus.SUSPECT, NodeStatus.DRAINING])
    return Node.objects.filter(watched, lease_until__lt=Now() + spare)


def _somebody_listened() -> bool:
    listened = timedelta(seconds=settings.NODE_LEASE_SECONDS + RECONNECT_S)
    return BeatIngest.objects.filter(
        steady_since__lt=Now() - listened, beat_at__gt=Now() - timedelta(seconds=INGEST_FRESH_S)
    ).exists()
