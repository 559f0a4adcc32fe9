"""What a node tells, turned into rows and handed on to the pod. One path for every state message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from accounts import actor
from catalyst.agent.protocol import Hello, LogMessage, MetricMessage, StateMessage
from catalyst.commands import ask, mark_done
from catalyst.failover import move_pod_away, note_resumed
from catalyst.lifecycle import switch_node_status
from catalyst.models import Node, NodeCommand, NodePod
from catalyst.nodes import ACTIVE_STATES
from catalyst.offers import publish_offers
from catalyst.provider import instance_of
from catalyst.states import NodeStatus
from pods import reports
from pods.models import Placement, Pod
from pods.states import Reason

State = NodePod.State
# The node lost the pod by itself: nothing that the customer asked for.
LOST_REASONS = {"keeper_lost", "fenced", "unknown_pod", "resume_failed"}


def node_came(node: Node, hello: Hello) -> None:
    """A node (re)connected: compare what it holds with what it should hold."""
    Node.objects.filter(pk=node.pk).update(boot_id=hello["boot"][:64], machine=hello["machine"])
    node.refresh_from_db()
    if node.status != NodeStatus.ALIVE:
        switch_node_status(node.pk, old=node.status, new=NodeStatus.ALIVE, message="connected")
        node.refresh_from_db()
    held = {(pod["pod"], pod["epoch"]) for pod in hello["pods"]}
    for pod_id, epoch in held:
        _stop_if_stale(node, pod_id, epoch)
    for row in NodePod.objects.filter(node=node, state__in=ACTIVE_STATES).exclude(state=State.ASKED):
        if (str(row.pod_id), row.epoch) not in held:
            _node_pod_changed(row, state=State.GONE, reason="unknown_pod")
    publish_offers()


def _stop_if_stale(node: Node, pod_id: str, epoch: int) -> None:
    row = NodePod.objects.filter(node=node, pod_id=UUID(pod_id), epoch=epoch).select_related("pod", "node").first()
    if row is None or row.pod.epoch == epoch:
        return
    if not row.commands.filter(kind=NodeCommand.Kind.STOP, done_at=None).exists():
        ask(row, NodeCommand.Kind.STOP, {"mode": "stale"})


def state_told(node: Node, message: StateMessage) -> None:
    """Store the state of a pod as its node tells it, and let the pod follow. Repeated messages change nothing."""
    row = NodePod.objects.filter(node=node, pod_id=UUID(message["pod"]), epoch=message["epoch"]).first()
    if row is None or row.state == State.GONE:
        return
    row.exit_code = message["exit_code"]
    row.restarts = message["restarts"]
    if message["ports"]:
        row.ports = message["ports"]
    if message["state"] == "running" and row.started_at is None:
        row.started_at = datetime.fromtimestamp(message["at"], UTC)
    _node_pod_changed(row, state=State(message["state"]), reason=message["reason"])


def _node_pod_changed(row: NodePod, *, state: NodePod.State, reason: str) -> None:
    row.state, row.reason = state, reason
    row.save(update_fields=["state", "reason", "exit_code", "restarts", "ports", "started_at"])
    NodePod.objects.filter(pk=row.pk).update(changed_at=Now())
    if state == State.RUNNING:
        note_resumed(row)
    if state == State.STOPPED and reason == "agent_shutdown":
        _node_leaves(row)
    elif state in {State.GONE, State.FAILED} and reason in LOST_REASONS:
        move_pod_away(row, cause=reason, reason=Reason.INSTANCE_LOST)
    _tell_pod(row)
    if state not in ACTIVE_STATES:
        publish_offers()


def _node_leaves(row: NodePod) -> None:
    """The agent was ended in order and checkpointed its pods: no new ones go there, these go elsewhere."""
    node = row.node
    if node.status == NodeStatus.ALIVE:
        switch_node_status(node.pk, old=node.status, new=NodeStatus.DRAINING, message="its agent was stopped")
    move_pod_away(row, cause="agent_shutdown", reason=Reason.PLATFORM_STOP)


def _tell_pod(row: NodePod) -> None:
    placement = Placement.objects.filter(pod_id=row.pod_id, epoch=row.epoch, ref=str(row.pk)).first()
    if placement is not None:
        reports.instance_changed(
            placement=placement, instance=instance_of(row), actor=actor.node(row.node_id), restarts=row.restarts
        )


def steps_told(beat_pods: list[Any]) -> None:
    """Progress from beats, written only where it rose."""
    for told in beat_pods:
        if told["step"] is not None:
            Pod.objects.filter(pk=UUID(told["pod"]), epoch=told["epoch"]).exclude(last_step=told["step"]).update(
                last_step=told["step"]
            )


def logs_told(node: Node, message: LogMessage) -> int:
    """Store lines of a pod that this node holds. Returns the number of the last one, for the acknowledgement."""
    row = NodePod.objects.filter(node=node, pod_id=UUID(message["pod"]), epoch=message["epoch"]).first()
    if row is None:
        return max((line["n"] for line in message["lines"]), default=0)  # not ours: nothing to keep, nothing to resend
    lines = [
        (line["n"], datetime.fromtimestamp(line["at"], UTC), line["stream"], line["text"]) for line in message["lines"]
    ]
    return reports.store_logs(row.pod, row.epoch, lines)


def metric_told(node: Node, message: MetricMessage) -> None:
    row = NodePod.objects.filter(node=node, pod_id=UUID(message["pod"]), epoch=message["epoch"]).first()
    if row is not None:
        reports.store_metric(row.pod, row.epoch, dict(message))


def command_done(node: Node, command_id: str, *, ok: bool, code: str, message: str) -> None:
    """The agent did a command, or refused it. A refused start is a pod that will never run there."""
    command = mark_done(command_id, ok=ok, message=f"{code} {message}".strip())
    if command is None or command.node_id != node.pk:
        return
    row = command.node_pod
    if command.kind == NodeCommand.Kind.START and not ok and row.state == State.ASKED:
        row.message = message[:500]
        row.save(update_fields=["message"])
        _node_pod_changed(row, state=State.FAILED, reason=code)
    if command.kind == NodeCommand.Kind.STOP and not ok and code == "unknown_pod":
        _node_pod_changed(row, state=State.GONE, reason=code)
