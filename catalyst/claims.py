"""What nodes and failovers tell of a pod that is disputed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from billing.disputes.claims import Claim, Record, Subject, written
from catalyst.models import Failover, NodePod


def records_of(subject: Subject, claim: Claim) -> Iterable[Record]:
    """Copied when a dispute is opened (settings.DISPUTE_RECORDS): the owner's nodes, their last beats, moves away."""
    rows = NodePod.objects.filter(pod=subject.pod_id, node__organisation=claim.owner).select_related("node")
    yield Record("nodes", [_node(row) for row in rows.order_by("epoch")])
    moves = Failover.objects.filter(
        pod=subject.pod_id, from_node__organisation=claim.owner, detected_at__gte=claim.usage_from
    )
    yield Record("failovers", [_move(move) for move in moves.select_related("from_node").order_by("pk")])


def _node(row: NodePod) -> dict[str, Any]:
    return {
        "node": row.node.name,
        "epoch": row.epoch,
        "state": row.state,
        "reason": row.reason,
        "restarts": row.restarts,
        "exit_code": row.exit_code,
        "started": written(row.started_at),
        "changed": written(row.changed_at),
        "last_beat": written(row.node.last_beat_at),
        "node_status": row.node.status,
    }


def _move(move: Failover) -> dict[str, Any]:
    return {
        "cause": move.cause,
        "from_epoch": move.from_epoch,
        "to_epoch": move.to_epoch,
        "from_node": move.from_node.name if move.from_node else "",
        "last_seen": written(move.last_seen_at),
        "detected": written(move.detected_at),
        "resumed": written(move.resumed_at),
        "false_alarm": move.false_alarm,
    }
