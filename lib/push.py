"""Small typed events to open pages, sent after commit. A lost event is harmless: pages fetch what they show."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)

MARKET_GROUP = "market"
STAFF_BILLING_GROUP = "staff.billing"


def organisation_group(organisation_id: UUID) -> str:
    return f"organisation.{organisation_id.hex}"


def pod_group(pod_id: UUID) -> str:
    return f"pod.{pod_id.hex}"


def person_group(user_id: UUID) -> str:
    return f"person.{user_id.hex}"


def node_group(node_id: UUID) -> str:
    return f"node.{node_id.hex}"


def push(group: str, event: dict[str, Any]) -> None:
    """Send `event` to the sockets of `group` once this transaction has committed.

    Consumers receive it as a channel message of type `page.event`.
    """
    transaction.on_commit(lambda: push_now(group, event), robust=True)


def push_now(group: str, event: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group, {"type": "page.event", "event": event})
    except Exception:
        # Pages poll when no event comes; the change itself is committed.
        log.warning("an event for %s was not sent", group, exc_info=True)
