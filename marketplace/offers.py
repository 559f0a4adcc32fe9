"""One offer: finding it, and why it cannot be rented now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.actor import Actor
from lib.clock import now
from lib.errors import NotFound
from lib.ids import decode_id
from marketplace.models import Offer
from marketplace.registry import rents_from_wallet

FRESH = timedelta(hours=2)
STALE = timedelta(hours=12)  # older prices stand outside medians and ranking
HIDDEN = timedelta(hours=24)


def get_offer(public_id: str) -> Offer:
    """The offer, withdrawn ones too: their pages stay. Raises NotFound."""
    offer = Offer.objects.select_related("provider", "gpu").filter(pk=decode_id("off", public_id)).first()
    if offer is None:
        raise NotFound(_("There is no such offer."))
    return offer


def find_offer(public_id: str) -> Offer | None:
    """As `get_offer`, and None for what is not there."""
    try:
        return get_offer(public_id)
    except NotFound:
        return None


def usable(offer: Offer) -> list[str]:
    """Why this offer cannot be rented now, in words; empty when it can."""
    provider = offer.provider
    return why_not(
        source=offer.source,
        withdrawn=offer.withdrawn_at is not None,
        age_s=(now() - offer.observed_at).total_seconds(),
        available=offer.available_count,
        provider=provider.name,
        rentable=provider.enabled and rents_from_wallet(provider.slug, provider.capabilities),
    )


def own_offers(actor: Actor, shown: Iterable[UUID]) -> set[UUID]:
    """Which of these offers are machines of the organisation that the reader works in."""
    if actor.organisation_id is None:
        return set()
    rows = Offer.objects.filter(pk__in=list(shown), extra__operator=str(actor.organisation_id))
    return set(rows.values_list("pk", flat=True))


def why_not(
    *, source: str, withdrawn: bool, age_s: float, available: int | None, provider: str, rentable: bool
) -> list[str]:
    """The same for a stored row and for a row of the snapshot: one set of rules, the first reason weighs most."""
    reasons = []
    if source != Offer.Source.LIVE:
        return [_("List price, not live")]
    if withdrawn:
        reasons.append(_("No longer offered"))
    if available == 0:
        reasons.append(_("None free now"))
    if age_s > FRESH.total_seconds():
        reasons.append(_("Last seen %(hours)d h ago") % {"hours": age_s // 3600})
    if not rentable:
        reasons.append(_("%(provider)s: for comparison only; rent there directly") % {"provider": provider})
    return reasons
