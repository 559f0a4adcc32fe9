"""What open pages are told: offers that changed, with their prices, and providers whose health turned."""

from __future__ import annotations

from typing import Any

from lib.push import MARKET_GROUP, push
from marketplace.models import Offer, Provider

# More than these at once (a first listing) is news that a page gets by asking again.
MOST_OFFERS = 400


def announce_offers(version: int) -> None:
    """One message with everything that this version of the market changed."""
    changed = list(Offer.objects.filter(version=version).order_by()[: MOST_OFFERS + 1])
    offers = [offer_event(offer) for offer in changed] if len(changed) <= MOST_OFFERS else []
    push(MARKET_GROUP, {"type": "offers.changed", "version": version, "offers": offers, "many": not offers})


def offer_event(offer: Offer) -> dict[str, Any]:
    """An offer in a live message. Prices are strings, USD per hour."""
    return {
        "id": offer.public_id,
        "provider": offer.provider_id,
        "gpu": offer.gpu_id,
        "count": offer.gpu_count,
        "kind": offer.kind,
        "price_per_hour": f"{offer.price_per_hour:f}",
        "price_per_gpu_hour": f"{offer.price_per_hour / offer.gpu_count:.6f}",
        "available": offer.available_count,
        "gone": offer.withdrawn_at is not None,
    }


def announce_provider(slug: str) -> None:
    provider = Provider.objects.get(pk=slug)
    push(MARKET_GROUP, {"type": "provider.changed", "provider": slug, "health": provider.health})
