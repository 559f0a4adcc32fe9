"""The only writer of a node's status."""

from __future__ import annotations

import logging
from uuid import UUID

from catalyst.models import Node
from catalyst.states import NodeStatus, may_follow

log = logging.getLogger(__name__)


def switch_node_status(node_id: UUID, *, old: str, new: NodeStatus, message: str = "") -> bool:
    """Compare-and-set. False when another process was first, or when the step is not allowed."""
    if not may_follow(old, new):
        return False
    changed = Node.objects.filter(pk=node_id, status=old).update(status=new) == 1
    if changed:
        log.info("node %s: %s → %s %s", node_id, old, new, message)
    return changed
