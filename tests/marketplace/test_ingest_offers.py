"""Ingestion: what differs is written, history is changes, and a provider's bad day loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from freezegun import freeze_time

from lib.clock import now
from lib.errors import NotFound
from marketplace import tasks
from marketplace.ingest import ingest_provider
from marketplace.models import MarketVersion, Offer, PricePoint, Provider
from marketplace.seeds import seed_list_prices
from tests.marketplace.offering import offer, raw
from tests.marketplace.scripted import Scripted

pytestmark = pytest.mark.django_db


def version() -> int:
    return MarketVersion.objects.values_list("version", flat=True).filter(pk=1).first() or 0


def test_a_new_offer_is_stored_with_its_first_price(market: None) -> None:
    result = offer(raw("a", "4.00", gpu_count=2))
    stored = Offer.objects.get(ref="a")
    assert (stored.gpu_id, stored.gpu_count, stored.price_per_hour) == ("h100-sxm-80", 2, Decimal("4.000000"))
    assert [point.price_per_gpu_hour for point in PricePoint.objects.all()] == [Decimal("2.000000")]
    assert result.written.new == 1
    assert stored.version == version() == 1


def test_hearing_the_same_again_is_no_change(market: None) -> None:
    with freeze_time(now() - timedelta(minutes=5)):
        offer(raw("a"), raw("b"))
    result = offer(raw("a"), raw("b"))
    assert (result.written.version, version(), PricePoint.objects.count()) == (None, 1, 2)
    assert (now() - Offer.objects.get(ref="a").observed_at).total_seconds() < 60


def test_a_change_of_price_is_history_and_another_change_is_not(market: None) -> None:
    offer(raw("a", "2.00"))
    offer(raw("a", "2.50"))
    offer(raw("a", "2.50", ram_gb=100.0))
    assert [point.price_per_gpu_hour for point in PricePoint.objects.order_by("id")] == [Decimal(2), Decimal("2.5")]
    assert Offer.objects.get(ref="a").version == version() == 3


def test_what_a_listing_leaves_out_is_withdrawn_and_may_come_back(market: None) -> None:
    offer(raw("a"), raw("b"))
    assert offer(raw("a")).written.withdrawn == 1
    assert Offer.objects.get(ref="b").withdrawn_at is not None
    offer(raw("a"), raw("b"))
    assert Offer.objects.get(ref="b").withdrawn_at is None
    assert PricePoint.objects.filter(offer__ref="b").count() == 1


def test_a_part_of_the_offers_leaves_the_rest_alone(market: None) -> None:
    offer(raw("a"), raw("b"))
    offer(raw("a", "3.00"), complete=False)
    assert Offer.objects.filter(withdrawn_at=None).count() == 2


def test_a_listing_withdraws_nothing_of_another_provider_or_source(market: None) -> None:
    offer(raw("list"), source="list_price")
    offer(raw("a"), provider="runpod")
    offer(raw("a"))
    offer(raw("b"))
    assert set(Offer.objects.filter(withdrawn_at=None).values_list("ref", flat=True)) == {"list", "a", "b"}


def test_spot_and_on_demand_of_one_machine_are_two_offers(market: None) -> None:
    offer(raw("a", "2.00"), raw("a", "0.90", kind="spot"))
    assert Offer.objects.count() == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (raw("x", gpu_name="Quantum 9000"), "is not a GPU that we know"),
        (raw("x", gpu_name="A100 SXM", vram_gb=10.0), "is a part of"),
        (raw("x", "0"), "is not possible"),
        (raw("x", "NaN"), "is not possible"),
        (raw("", "1.00"), "not valid"),
        (raw("x", gpu_count=0), "not valid"),
    ],
)
def test_what_cannot_be_offered_is_left_out_with_its_reason(market: None, bad: Any, reason: str) -> None:
    result = offer(raw("a"), bad)
    assert reason in result.unknown[0]
    assert Offer.objects.count() == 1


def test_list_prices_are_a_source_of_their_own(market: None) -> None:
    seed_list_prices()
    offers = Offer.objects.all()
    assert {one.source for one in offers} == {"list_price"}
    assert offers.values("provider").distinct().count() >= 20
    before = version()
    seed_list_prices()
    assert version() == before


@pytest.mark.parametrize("slug", ["vast", "runpod", "lambda_labs", "akash"])
def test_a_sandbox_peers_listing_is_read_over_http(market: None, peer: Callable[[str], Any], slug: str) -> None:
    peer(slug)
    result = ingest_provider(slug)
    assert result is not None
    assert result.written.new > 20
    provider = Provider.objects.get(pk=slug)
    assert (provider.health, provider.failures_in_row) == ("healthy", 0)
    assert provider.last_success_at is not None
    assert Offer.objects.filter(provider=slug, price_per_hour__gt=0).count() == result.written.new


@pytest.fixture
def scripted_vast(market: None, provider: Scripted, settings: Any) -> Scripted:
    settings.PROVIDER_URLS = {**settings.PROVIDER_URLS, "vast": provider.url}
    return provider


def vast_row(number: int, price: float = 2.0) -> dict[str, Any]:
    return {
        "id": number,
        "gpu_name": "H100 SXM",
        "num_gpus": 1,
        "gpu_ram": 81559,
        "dph_base": price,
        "min_bid": price / 2,
        "geolocation": "Oregon, US",
        "verification": "verified",
    }


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "body": {}},
        {"status": 200, "body": b"<html>Bad gateway</html>"},
        {"status": 200, "body": {"offers": "none"}},
    ],
)
def test_a_failing_provider_keeps_its_offers_and_they_age(scripted_vast: Scripted, answer: dict[str, Any]) -> None:
    earlier = now() - timedelta(hours=3)
    with freeze_time(earlier):
        offer(raw("a"))
    scripted_vast.say("POST", "/api/v0/bundles", answer["body"], status=answer["status"])
    assert ingest_provider("vast") is None
    assert ingest_provider("vast") is None
    provider = Provider.objects.get(pk="vast")
    assert (provider.health, provider.failures_in_row) == ("failing", 2)
    assert provider.last_error
    stored = Offer.objects.get(ref="a")
    assert stored.withdrawn_at is None
    assert stored.observed_at == earlier


def test_a_faulty_listing_withdraws_what_it_leaves_out_only_after_a_while(scripted_vast: Scripted) -> None:
    scripted_vast.say("POST", "/api/v0/bundles", {"offers": [vast_row(1), vast_row(2, price=-1.0)]})
    with freeze_time(now() - timedelta(minutes=11)) as clock:
        offer(raw("old"))
        clock.tick(timedelta(minutes=5))
        ingest_provider("vast")
        assert Provider.objects.get(pk="vast").health == "degraded"
        held = Offer.objects.get(ref="old")
        assert (held.withdrawn_at, held.listed) == (None, False)
    ingest_provider("vast")
    assert Offer.objects.get(ref="old").withdrawn_at is not None
    assert Offer.objects.get(ref="1", kind="on_demand").withdrawn_at is None


def test_an_empty_listing_is_taken_for_a_fault(scripted_vast: Scripted) -> None:
    offer(raw("a"))
    scripted_vast.say("POST", "/api/v0/bundles", {"offers": []})
    ingest_provider("vast")
    assert Offer.objects.get(ref="a").withdrawn_at is None
    assert Provider.objects.get(pk="vast").health == "degraded"


def test_a_listing_that_needs_a_key_waits_for_it(market: None, settings: Any) -> None:
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "lambda_labs": ""}
    assert ingest_provider("lambda_labs") is None
    assert "key" in Provider.objects.get(pk="lambda_labs").last_error


def test_an_unknown_provider_is_not_found(market: None) -> None:
    with pytest.raises(NotFound):
        ingest_provider("nobody")


def test_a_provider_is_not_asked_while_it_still_answers(scripted_vast: Scripted) -> None:
    scripted_vast.say("POST", "/api/v0/bundles", {"offers": [vast_row(1)]})
    cache.add("ingest:vast", "somebody else", 60)
    tasks.ingest_one("vast")
    assert scripted_vast.calls("POST") == []
    cache.delete("ingest:vast")
    tasks.ingest_one("vast")
    assert scripted_vast.calls("POST")
    assert cache.get("ingest:vast") is None
