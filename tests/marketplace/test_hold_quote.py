"""A quote: the price read again, held for a minute, and nobody else's writing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from freezegun import freeze_time

from lib.clock import now
from lib.errors import Conflict, Invalid
from marketplace.ingest import ingest_provider
from marketplace.models import Offer, Provider
from marketplace.quotes import HOLDS_S, make_quote, read_quote
from tests.marketplace.offering import offer, raw

pytestmark = pytest.mark.django_db


def test_a_fresh_offer_is_quoted_by_what_was_just_read(market: None) -> None:
    offer(raw("a", "2.00"))
    quote = make_quote(Offer.objects.get().public_id)
    assert read_quote(quote.token) == (quote.offer.public_id, Decimal("2.000000"))


def test_a_quote_ends_after_a_minute(market: None) -> None:
    offer(raw("a"))
    quote = make_quote(Offer.objects.get().public_id)
    with freeze_time(now() + timedelta(seconds=HOLDS_S + 1)), pytest.raises(Invalid) as refusal:
        read_quote(quote.token)
    assert "quote" in refusal.value.fields


@pytest.mark.parametrize("token", ["", "nonsense", "eyJvZmZlciI6Im9mZl8xIn0:1vabcd:x"])
def test_a_quote_cannot_be_made_up(market: None, token: str) -> None:
    with pytest.raises(Invalid):
        read_quote(token)


def test_an_older_price_is_read_again_at_the_provider(market: None, peer: Callable[[str], Any]) -> None:
    peer("vast")
    ingest_provider("vast")
    one = Offer.objects.filter(kind="on_demand", verified=True, available_count__gt=0).first()
    assert one is not None
    Offer.objects.filter(pk=one.pk).update(price_per_hour=Decimal("0.000001"))
    Provider.objects.filter(pk="vast").update(last_success_at=now() - timedelta(minutes=1))
    answer = Client().post(f"/api/v2/offers/{one.public_id}/quote")
    if answer.status_code == 409:  # the sandbox's market moves: it may be gone by now
        assert answer.json()["error"]["code"] == "offer_gone"
        return
    quoted = answer.json()
    assert quoted["previous_price_per_hour"]["amount"] == "0.000001"
    assert Decimal(quoted["price_per_hour"]["amount"]) > Decimal("0.001")


def test_what_cannot_be_rented_is_not_quoted(market: None) -> None:
    offer(raw("gone"), raw("full", available_count=0))
    offer(raw("full", available_count=0))
    offer(raw("list"), provider="aws", source="list_price")
    listed = Offer.objects.filter(source="list_price").first()
    assert listed is not None
    for one in (Offer.objects.get(ref="gone"), Offer.objects.get(ref="full"), listed):
        with pytest.raises(Conflict):
            make_quote(one.public_id)
        assert Client().post(f"/api/v2/offers/{one.public_id}/quote").status_code == 409
    assert Client().post("/api/v2/offers/off_1/quote").status_code == 404
