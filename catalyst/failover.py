"""Moving pods away from a place that is lost, and the record of how long it took."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from accounts import actor
from catalyst.checkpoints import latest
from catalyst.models import Failover, Node, NodePod
from catalyst.nodes import ACTIVE_STATES
from pods.moves import begin_move
from pods.states import Reason

DETECTOR = actor.worker("catalyst.detector")


def move_pods_away(node: Node, *, cause: str) -> int:
    """Begin the next epoch of every pod whose current placement is on this node. Returns how many moves began."""
    rows = NodePod.objects.filter(node=node, state__in=ACTIVE_STATES).select_related("pod")
    return sum(move_pod_away(row, cause=cause, reason=Reason.NODE_LOST) for row in rows)


def move_pod_away(node_pod: NodePod, *, cause: str, reason: Reason) -> bool:
    """False when the pod has moved on already, or when nobody wants it to run."""
    node = node_pod.node
    with transaction.atomic():
        if not begin_move(pod_id=node_pod.pod_id, seen_epoch=node_pod.epoch, reason=reason, actor=DETECTOR):
            return False
        Failover.objects.get_or_create(
            pod_id=node_pod.pod_id,
            from_epoch=node_pod.epoch,
            defaults={
                "to_epoch": node_pod.epoch + 1,
                "from_node": node,
                "cause": cause,
                "checkpoint": latest(node_pod.pod_id),
                "last_seen_at": node.last_beat_at,
            },
        )
    return True


def note_resumed(node_pod: NodePod) -> None:
    """The pod runs again: the open failover that led to this epoch, or to one before it, has ended."""
    Failover.objects.filter(pod_id=node_pod.pod_id, to_epoch__lte=node_pod.epoch, resumed_at=None).update(
        resumed_at=Now(), to_node=node_pod.node
    )
