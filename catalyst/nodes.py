"""Machines join with a one-time token and are known by a key of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import Organisation
from catalyst.lifecycle import switch_node_status
from catalyst.models import Node, NodePod, NodeToken
from catalyst.states import NodeStatus
from lib import secrets
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid

TOKEN_LIFE = timedelta(hours=1)
# Cores of a local node are shared by its pods: it is there to try things, on a machine that does other work too.
LOCAL_SLOTS = 4
ACTIVE_STATES = (NodePod.State.ASKED, NodePod.State.STARTING, NodePod.State.RUNNING, NodePod.State.RESTARTING)


@dataclass(frozen=True, slots=True)
class Enrolled:
    node: Node
    key: str


def make_token(*, name: str, organisation: Organisation | None = None, is_local: bool = False) -> str:
    """A token that enrols one machine within the hour. It is shown once."""
    token = secrets.new_token("gbn")
    NodeToken.objects.create(
        name=name,
        organisation=organisation,
        is_local=is_local,
        token_hash=secrets.hash_token(token),
        expires_at=now() + TOKEN_LIFE,
    )
    return token


@transaction.atomic
def enrol(*, token: str, name: str, machine: dict[str, Any], share: dict[str, float]) -> Enrolled:
    """Use up the token and make the node. Raises 401 for a token that is unknown, used or expired."""
    _check_share(share, machine)
    found = (
        NodeToken.objects.select_for_update()
        .filter(token_hash=secrets.hash_token(token), used_at=None, expires_at__gt=Now())
        .first()
    )
    if found is None:
        raise AppError(_("This token is unknown, used or expired."), code="bad_token", status=401)
    found.used_at = now()
    found.save(update_fields=["used_at"])
    key = secrets.new_token("gbk")
    node = Node.objects.create(
        organisation=found.organisation,
        name=(name or found.name)[:63],
        key_hash=secrets.hash_token(key),
        is_local=found.is_local,
        machine=machine,
        vcpus=share["vcpus"],
        ram_gb=share["ram_gb"],
        disk_gb=share["disk_gb"],
        slots=_slots(machine, share, is_local=found.is_local),
        region=_("this machine") if found.is_local else "",
    )
    return Enrolled(node, key)


def authenticate(node_id: str, key: str) -> Node | None:
    """The node with this key, unless it was retired."""
    try:
        node = Node.objects.filter(pk=UUID(node_id)).exclude(status=NodeStatus.RETIRED).first()
    except ValueError:
        return None
    return node if node and secrets.same(node.key_hash, secrets.hash_token(key)) else None


def free_slots(node: Node) -> list[int]:
    """Slots that no active pod holds, lowest first."""
    used = set(NodePod.objects.filter(node=node, state__in=ACTIVE_STATES).values_list("slot", flat=True))
    return [slot for slot in range(node.slots) if slot not in used]


def retire(node: Node) -> None:
    """Never used again. Refused while pods run there."""
    if NodePod.objects.filter(node=node, state__in=ACTIVE_STATES).exists():
        raise Conflict(_("Pods still run on this node: drain it first."))
    switch_node_status(node.pk, old=node.status, new=NodeStatus.RETIRED, message="retired by staff")


def drain(node: Node) -> None:
    """No new pods; those that run stay."""
    switch_node_status(node.pk, old=node.status, new=NodeStatus.DRAINING, message="drained by staff")


def resume(node: Node) -> None:
    switch_node_status(node.pk, old=node.status, new=NodeStatus.ALIVE, message="resumed by staff")


def _slots(machine: dict[str, Any], share: dict[str, float], *, is_local: bool) -> int:
    cards = len(machine.get("gpus") or [])
    if cards:
        return cards
    return LOCAL_SLOTS if is_local else max(1, int(share["vcpus"]))


def _check_share(share: dict[str, float], machine: dict[str, Any]) -> None:
    fields = {}
    ceilings = {
        "vcpus": float(machine.get("cpus") or 0),
        "ram_gb": float(machine.get("ram_bytes") or 0) / 1e9,
        "disk_gb": float(machine.get("disk_bytes") or 0) / 1e9,
    }
    for name, ceiling in ceilings.items():
        if not 0 < share[name] <= max(ceiling, 0.001) * 1.01:
            fields[f"share.{name}"] = [_("Declare more than zero and at most what the machine has.")]
    if fields:
        raise Invalid(_("The declared share does not fit the machine."), fields=fields)
