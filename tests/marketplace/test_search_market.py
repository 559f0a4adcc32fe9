"""Searching the market: every filter, the order, what is hidden, and what bad input gets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from freezegun import freeze_time

from lib.clock import now
from lib.errors import Invalid
from marketplace import snapshot
from marketplace.models import Offer, Provider
from marketplace.queries import OfferQuery, parse_query
from marketplace.search import browse
from tests.marketplace.offering import offer, raw

pytestmark = pytest.mark.django_db
BROWSE = "/api/v2/providers/browse"


@pytest.fixture
def stocked(market: None) -> None:
    offer(
        raw("h100", "2.00"),
        raw("h100x8", "16.00", gpu_count=8, region="Frankfurt, DE", country="DE", reliability=0.97, vcpus=208.0),
        raw("h100spot", "0.90", kind="spot"),
        raw("a100", "1.20", gpu_name="A100 SXM", vram_gb=80.0, region="Quebec, CA", country="CA", net_down_mbps=200.0),
        raw("a100-40", "0.80", gpu_name="A100 PCIe", vram_gb=40.0, ram_gb=64.0, disk_gb=100.0),
        raw("4090", "0.40", gpu_name="RTX 4090", vram_gb=24.0, verified=False),
        raw("cpu", "0.05", gpu_name="cpu", vram_gb=0.0, net_down_mbps=None, reliability=None),
    )
    offer(raw("rp", "2.20", region="", country="SE", tier="secure"), provider="runpod")


def found(**given: Any) -> list[str]:
    return sorted(refs(**given))


def refs(**given: Any) -> list[str]:
    rows = browse(parse_query({"unverified": "1", **given})).offers
    names = dict(Offer.objects.values_list("pk", "ref"))
    return [names[row.id] for row in rows]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"gpu": "H100"}, ["h100", "h100spot", "h100x8", "rp"]),
        ({"gpu": "a100 80, rtx4090"}, ["4090", "a100"]),
        ({"gpu": "a100"}, ["a100", "a100-40"]),
        ({"gpu": "cpu"}, ["cpu"]),
        ({"provider": "vast", "max_price": "0.40"}, ["4090", "cpu"]),
        ({"min_vram": "48"}, ["a100", "h100", "h100spot", "h100x8", "rp"]),
        ({"max_vram": 40}, ["4090", "a100-40"]),
        ({"count": "8"}, ["h100x8"]),
        ({"min_count": 2}, ["h100x8"]),
        ({"max_price": "1,20"}, ["4090", "a100", "a100-40", "h100spot"]),
        ({"min_price": "2.1"}, ["rp"]),
        ({"provider": "RunPod"}, ["rp"]),
        ({"not_provider": "vast"}, ["rp"]),
        ({"region": "de,se"}, ["h100x8", "rp"]),
        ({"region": "europe"}, ["h100x8", "rp"]),
        ({"region": "frankfurt"}, ["h100x8"]),
        ({"not_region": "north-america"}, ["h100x8", "rp"]),
        ({"kind": "spot"}, ["h100spot"]),
        ({"min_reliability": "98", "gpu": "h100"}, ["h100", "h100spot", "rp"]),
        ({"min_reliability": 0.98, "gpu": "h100"}, ["h100", "h100spot", "rp"]),
        ({"min_vcpus": 100}, ["h100x8"]),
        ({"min_ram": 100, "gpu": "a100"}, ["a100"]),
        ({"min_disk": 500, "gpu": "a100"}, ["a100"]),
        ({"min_net": 1000, "gpu": "a100"}, ["a100-40"]),
        ({"gpu": "b200"}, []),
    ],
)
def test_each_filter_finds_what_it_says(stocked: None, given: dict[str, Any], expected: list[str]) -> None:
    assert found(**given) == expected


def test_processors_are_shown_only_when_asked_for(stocked: None) -> None:
    assert "cpu" not in found()


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("price", "4090"),
        ("-price", "rp"),
        ("-total", "h100x8"),
        ("vram", "h100spot"),
        ("value", "h100spot"),
        ("count", "h100x8"),
        ("vcpus", "h100x8"),
        ("net", "4090"),
        ("-net", "a100"),
        ("provider", "rp"),
    ],
)
def test_each_sort_puts_its_best_first(stocked: None, sort: str, first: str) -> None:
    assert refs(sort=sort)[0] == first


def test_what_is_not_known_comes_last_in_both_directions(market: None) -> None:
    offer(raw("a", net_down_mbps=None), raw("b", net_down_mbps=10.0), raw("c", net_down_mbps=20.0))
    assert refs(sort="net") == ["c", "b", "a"]
    assert refs(sort="-net") == ["b", "c", "a"]


@pytest.mark.parametrize("ranking", ["reference", "topsis"])
def test_weights_move_the_ranking(market: None, ranking: str) -> None:
    offer(
        raw("cheap", "0.30", gpu_name="RTX 3090", vram_gb=24.0, reliability=0.95, net_down_mbps=100.0),
        raw("strong", "3.00", reliability=0.999, net_down_mbps=9000.0),
    )
    assert refs(ranking=ranking, w_price=100)[0] == "cheap"
    assert refs(ranking=ranking, w_performance=100)[0] == "strong"


def test_pages_hold_each_offer_once(market: None) -> None:
    offer(*(raw(f"o{n:02}", f"1.{n:02}") for n in range(25)))
    pages = [refs(sort="price", limit=10, page=page) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [ref for page in pages for ref in page] == [f"o{n:02}" for n in range(25)]
    result = browse(parse_query({"limit": 10, "page": 9}))
    assert (result.page, result.pages, result.total) == (3, 3, 25)


def test_unverified_offers_are_hidden_and_counted(stocked: None) -> None:
    page = browse(parse_query({}))
    assert page.hidden_unverified == 1
    assert all(row.verified for row in page.offers)


def test_list_prices_are_hidden_counted_and_never_rentable(stocked: None) -> None:
    offer(raw("list", "3.10"), raw("list2", "3.20"), provider="aws", source="list_price")
    page = browse(parse_query({"gpu": "h100"}))
    assert page.hidden_sources == {"list_price": 2}
    listed = browse(parse_query({"gpu": "h100", "source": "list_price"})).offers
    assert all(row.reasons == ["List price, not live"] and row.freshness == "static" for row in listed)


@pytest.mark.parametrize(
    ("age", "freshness", "ranked"),
    [
        (timedelta(minutes=119), "fresh", True),
        (timedelta(hours=3), "stale", True),
        (timedelta(hours=13), "old", False),
        (timedelta(hours=25), None, False),
    ],
)
def test_offers_age(market: None, age: timedelta, freshness: str | None, ranked: bool) -> None:
    with freeze_time(now() - age):
        offer(raw("a"))
    rows = browse(OfferQuery()).offers
    assert [row.freshness for row in rows] == ([freshness] if freshness else [])
    assert all((row.score is not None) == ranked for row in rows)
    assert all(bool(row.reasons) == (freshness != "fresh") for row in rows)


def test_what_can_be_rented_stands_before_what_cannot(market: None) -> None:
    offer(raw("none-free", "0.50", available_count=0), raw("free", "5.00"))
    offer(raw("compare-only", "0.40"), provider="akash")
    assert refs()[0] == "free"
    rows = {row.provider.slug + str(row.available): row.reasons for row in browse(OfferQuery()).offers}
    assert rows["vast2"] == []
    assert rows["vast0"] == ["None free now"]
    assert "for comparison only" in rows["akash2"][0]
    assert refs(rentable="1") == ["free"]


def test_the_price_is_that_of_the_whole_job(market: None) -> None:
    offer(
        raw("dear-disk", "1.00", disk_price_gb_month=Decimal("0.73"), egress_price_gb=Decimal("0.05")),
        raw("cheap-disk", "1.50", disk_price_gb_month=Decimal("0.073"), egress_price_gb=Decimal(0)),
    )
    assert refs(sort="price") == ["dear-disk", "cheap-disk"]
    assert refs(sort="price", disk_gb=1000, egress_gb=730) == ["cheap-disk", "dear-disk"]
    row = browse(parse_query({"disk_gb": 1000, "egress_gb": 730, "sort": "-price"})).offers[0]
    assert (row.all_in.disk_running, row.all_in.traffic) == (Decimal(1), Decimal("0.05"))
    assert row.all_in.per_hour == Decimal("2.05")
    assert refs(max_price="1.70", disk_gb=1000) == ["cheap-disk"]


def test_a_price_that_is_not_told_is_said_to_be_incomplete(market: None) -> None:
    offer(raw("a"))
    assert not browse(parse_query({"disk_gb": 10})).offers[0].all_in.complete
    assert browse(parse_query({})).offers[0].all_in.complete


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"gpu": "quantum 9000"}, "gpu"),
        ({"gpu": ",".join(["h100"] * 25)}, "gpu"),
        ({"min_vram": "much"}, "min_vram"),
        ({"max_price": "-1"}, "max_price"),
        ({"max_price": "nan"}, "max_price"),
        ({"max_price": "1e999"}, "max_price"),
        ({"count": "0"}, "count"),
        ({"count": "1.5"}, "count"),
        ({"provider": "nobody"}, "provider"),
        ({"kind": "free"}, "kind"),
        ({"source": "dream"}, "source"),
        ({"sort": "beauty"}, "sort"),
        ({"ranking": "luck"}, "ranking"),
        ({"w_price": "101"}, "w_price"),
        ({"w_price": "0"}, "w_price"),
        ({"page": "0"}, "page"),
        ({"limit": "100000"}, "limit"),
        ({"unverified": "perhaps"}, "unverified"),
        ({"region": "x" * 700}, "region"),
        ({"region": "\x00"}, "region"),
    ],
)
def test_bad_input_names_its_field(stocked: None, given: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_query(given)
    assert field in refusal.value.fields
    answer = Client().get(BROWSE, given)
    assert answer.status_code == 422
    assert field in answer.json()["error"]["fields"]


def test_every_wrong_field_is_named_at_once(market: None) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_query({"gpu": "quantum", "min_ram": "x", "sort": "y"})
    assert set(refusal.value.fields) == {"gpu", "min_ram", "sort"}


def test_an_address_says_the_same_query_again(stocked: None) -> None:
    query = parse_query(
        {"gpu": "h100", "max_price": "2.5", "region": "de,fr", "sort": "-price", "w_net": "30", "page": "2"}
    )
    assert parse_query(dict(query.as_params())) == query


def test_the_api_browses_without_signing_in(stocked: None) -> None:
    answer = Client().get(BROWSE, {"gpu": "h100", "sort": "price"}).json()
    first = answer["items"][0]
    assert (answer["total"], first["kind"], first["rentable"]) == (4, "spot", True)
    assert first["price_per_gpu_hour"] == {"amount": "0.900000", "currency": "USD"}
    assert first["id"].startswith("off_")


def test_featured_are_rentable_and_kept_for_a_minute(stocked: None) -> None:
    first = Client().get("/api/v2/providers/featured").json()
    assert first["items"]
    assert all(item["rentable"] for item in first["items"])
    offer(raw("new", "0.01"))
    assert Client().get("/api/v2/providers/featured").json() == first


def test_models_are_found_by_their_names(stocked: None) -> None:
    def names(text: str) -> set[str]:
        return {item["slug"] for item in Client().get("/api/v2/gpus/search", {"q": text}).json()["items"]}

    assert names("h100 sxm") == {"h100-sxm-80"}
    assert "rtx-4090" in names("409")
    assert names("nothing like this") == set()
    assert len(names("")) > 45


def test_a_models_summary_is_of_live_offers(stocked: None) -> None:
    items = Client().get("/api/v2/gpus/search", {"q": "h100 sxm"}).json()["items"]
    assert items[0]["live_offers"] == 4
    assert items[0]["lowest_per_gpu_hour"]["amount"] == "2.000000"
    assert items[0]["lowest_spot_per_gpu_hour"]["amount"] == "0.900000"


def test_an_offers_detail_is_public_and_unknown_ones_are_not_found(stocked: None) -> None:
    one = Offer.objects.get(ref="h100")
    answer = Client().get(f"/api/v2/offers/{one.public_id}").json()
    assert (answer["offer"]["gpu"], len(answer["changes"]), answer["withdrawn"]) == ("h100-sxm-80", 1, False)
    for wrong in ("off_1", "pod_00000000000000000000000000", "off_7zzzzzzzzzzzzzzzzzzzzzzzzz", "x" * 80):
        assert Client().get(f"/api/v2/offers/{wrong}").status_code in {404, 422}


def test_the_snapshot_follows_every_change(market: None) -> None:
    offer(raw("a", "1.00"), raw("b", "2.00"))
    first = snapshot.current()
    assert refs(sort="price") == ["a", "b"]
    offer(raw("a", "3.00"), raw("c", "2.50"))
    assert refs(sort="price") == ["c", "a"]
    assert snapshot.current().version == first.version + 1
    assert first.size == 2  # whoever still searches the old one is not disturbed


def test_a_listing_without_changes_makes_offers_fresh_again(market: None) -> None:
    with freeze_time(now() - timedelta(hours=3)):
        offer(raw("a"))
    assert browse(OfferQuery()).offers[0].freshness == "stale"
    before = snapshot.current()
    offer(raw("a"))
    assert browse(OfferQuery()).offers[0].freshness == "fresh"
    assert snapshot.current().frame is before.frame


def test_a_provider_that_staff_switched_off_rents_nothing(stocked: None) -> None:
    Provider.objects.filter(pk="vast").update(enabled=False)
    assert found(rentable="1") == ["rp"]


def test_an_empty_market_is_searched_too(market: None) -> None:
    page = browse(parse_query({"gpu": "h100", "max_price": "1", "region": "eu", "provider": "vast"}))
    assert (page.total, page.pages, page.offers) == (0, 1, [])
