"""The outbox to agents: a command is a row first, then a message, sent again until the agent says that it is done."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from catalyst.agent.protocol import Limits, Spec
from catalyst.models import Node, NodeCommand, NodePod
from lib.push import node_group, push
from lib.secrets import unseal
from pods.models import Pod

GRACE_S = 10.0
SPARE_PROCESSES = 256


def ask(node_pod: NodePod, kind: NodeCommand.Kind, body: dict[str, Any]) -> NodeCommand:
    """Put a command into the node's outbox and wake its socket after the commit."""
    command = NodeCommand.objects.create(node=node_pod.node, node_pod=node_pod, kind=kind, body=body)
    push(node_group(node_pod.node_id), {"type": "node.commands"})
    return command


def open_commands(node: Node) -> list[dict[str, Any]]:
    """Messages of all commands that the node has not done yet, oldest first."""
    rows = NodeCommand.objects.filter(node=node, done_at=None).select_related("node_pod__pod").order_by("created_at")
    return [message_of(row, node) for row in rows]


def message_of(command: NodeCommand, node: Node) -> dict[str, Any]:
    node_pod = command.node_pod
    message: dict[str, Any] = {
        "type": command.kind,
        "id": str(command.pk),
        "pod": str(node_pod.pod_id),
        "epoch": node_pod.epoch,
    }
    if command.kind == NodeCommand.Kind.START:
        return message | {"spec": _spec(node_pod.pod, node_pod, node, command.body)}
    if command.kind == NodeCommand.Kind.STOP:
        return message | {"mode": command.body["mode"], "grace_s": GRACE_S}
    return message | {"name": command.body["name"]}


def mark_done(command_id: str, *, ok: bool, message: str) -> NodeCommand | None:
    """The agent's answer; a repeated answer changes nothing."""
    try:
        key = UUID(command_id)
    except ValueError:
        return None
    changed = NodeCommand.objects.filter(pk=key, done_at=None).update(done_at=Now(), ok=ok, message=message[:500])
    return NodeCommand.objects.select_related("node_pod").get(pk=key) if changed else None


def _spec(pod: Pod, node_pod: NodePod, node: Node, body: dict[str, Any]) -> Spec:
    """The environment is unsealed here, on its way to the node, and stands in no other row."""
    return {
        "name": pod.name,
        "image": body["image"],
        "command": body["command"],
        "env": json.loads(unseal(bytes(pod.sealed_env))) if pod.sealed_env else {},
        "ports": list(pod.ports),
        "limits": _limits(pod, node_pod, node),
        "restart_policy": pod.restart_policy,  # type: ignore[typeddict-item]
        "grace_s": GRACE_S,
        "resume": True,
        "runtime": "process" if node.is_local else "auto",
    }


def _limits(pod: Pod, node_pod: NodePod, node: Node) -> Limits:
    cards = node.machine.get("gpus") or []
    limits: Limits = {
        "vcpus": node.vcpus / (len(cards) or 1),
        "ram_bytes": int(node.ram_gb * 1e9 / node.slots),
        "disk_bytes": int(min(pod.disk_gb, node.disk_gb / node.slots) * 1e9),
        "processes": SPARE_PROCESSES,
    }
    if cards:
        limits["gpus"] = [node_pod.slot]
    return limits
