"""A price held for a minute: read again at the provider, then signed, so that nobody can write one for themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.core import signing
from django.utils.translation import gettext as _

from lib.clock import now
from lib.errors import Conflict, Invalid
from marketplace.ingest import ingest_provider
from marketplace.models import Offer, Provider
from marketplace.offers import get_offer, usable

SALT = "marketplace.quote"
HOLDS_S = 60
# A listing this young is not asked for again.
FRESH_ENOUGH = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Quote:
    """`price_per_hour` is USD for the whole offer, without disk and traffic."""

    token: str
    offer: Offer
    price_per_hour: Decimal
    previous_price_per_hour: Decimal
    expires_at: datetime


def make_quote(offer_id: str) -> Quote:
    """Re-read the offer at its provider and hold its price. Raises Conflict when it cannot be rented now."""
    before = get_offer(offer_id)
    if before.source != Offer.Source.LIVE:
        raise Conflict(_("This is a list price: nobody holds it."), code="not_live")
    _read_again(before.provider)
    offer = get_offer(offer_id)
    reasons = usable(offer)
    if reasons:
        raise Conflict(reasons[0], code="offer_gone")
    token = signing.dumps({"offer": offer.public_id, "price": f"{offer.price_per_hour:f}"}, salt=SALT, compress=True)
    return Quote(token, offer, offer.price_per_hour, before.price_per_hour, now() + timedelta(seconds=HOLDS_S))


def read_quote(token: str) -> tuple[str, Decimal]:
    """The offer's public id and the price of a quote that still holds. Raises Invalid (field `quote`) otherwise."""
    try:
        said = signing.loads(token, salt=SALT, max_age=HOLDS_S)
    except signing.SignatureExpired:
        raise Invalid(_("The quote has expired."), fields={"quote": [_("Ask for a new one.")]}) from None
    except signing.BadSignature:
        raise Invalid(_("This is not a quote of ours."), fields={"quote": [_("Ask for a new one.")]}) from None
    return said["offer"], Decimal(said["price"])


def _read_again(provider: Provider) -> None:
    last = provider.last_success_at
    if last is None or now() - last > FRESH_ENOUGH:
        ingest_provider(provider.slug)
