"""Our nodes as offers of the provider `catalyst`: one offer a node, as many units as it has free slots."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from catalyst.models import Node
from catalyst.nodes import free_slots
from catalyst.states import NodeStatus
from lib.errors import Conflict, Invalid
from lib.money import parse_amount
from marketplace.ingest import upsert_offers
from marketplace.providers.base import RawOffer

SLUG = "catalyst"
PRICE_PLACES = 4
DEAREST = Decimal(1000)


def list_node_offers() -> list[RawOffer]:
    """Offers of all nodes that take new pods now. A full node is still named, with nothing available."""
    return [_offer_of(node) for node in Node.objects.filter(status=NodeStatus.ALIVE, archived_at=None)]


def publish_offers() -> None:
    """Tell the market at once; the regular listing says the same half a minute later."""
    upsert_offers(SLUG, list_node_offers())


@transaction.atomic
def set_price(*, node: Node, price: str | Decimal, actor: Actor) -> Node:
    """What a slot of this node costs an hour, in USD, for pods that start from now on; others keep their price."""
    wanted = _check_price(price)
    locked = Node.objects.select_for_update().get(pk=node.pk)
    if locked.status == NodeStatus.RETIRED:
        raise Conflict(_("This node is retired: it is not for rent any more."))
    if locked.price_per_hour != wanted:
        assert locked.organisation_id is not None  # of this installation's own nodes nobody sets a price
        data = {"from": f"{locked.price_per_hour:f}", "to": f"{wanted:f}"}
        locked.price_per_hour = wanted
        locked.save(update_fields=["price_per_hour"])
        audit.record(locked.organisation_id, actor, "node.price", locked, data)
        transaction.on_commit(publish_offers)
    return locked


def _check_price(price: str | Decimal) -> Decimal:
    wanted = parse_amount(price, currency="USD", field="price_per_hour", places=PRICE_PLACES)
    if wanted > DEAREST:
        message = _("At most $%(n)d per hour.") % {"n": DEAREST}
        raise Invalid(message, fields={"price_per_hour": [message]})
    return wanted


def _offer_of(node: Node) -> RawOffer:
    cards = node.machine.get("gpus") or []
    return RawOffer(
        ref=str(node.pk),
        gpu_name=cards[0]["name"] if cards else "cpu",
        gpu_count=1,
        vram_gb=round(cards[0]["vram_mb"] / 1024, 1) if cards else 0.0,
        price_per_hour=Decimal(node.price_per_hour),
        vcpus=round(node.vcpus / (len(cards) or 1), 2),
        ram_gb=round(node.ram_gb / node.slots, 2),
        disk_gb=round(node.disk_gb / node.slots, 2),
        region=node.region,
        country=node.country,
        tier="local" if node.is_local else "operator",
        reliability=None,
        available_count=len(free_slots(node)),
        disk_price_gb_month=Decimal(0),
        egress_price_gb=Decimal(0),
        # `operator` earns the operator's share of what a pod costs there.
        extra={"node": node.name} | ({"operator": str(node.organisation_id)} if node.organisation_id else {}),
    )
