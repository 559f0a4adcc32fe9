"""The public pages, as a browser without JavaScript gets them, and their fragments."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.test import Client
from freezegun import freeze_time

from lib.clock import now
from marketplace.models import Offer, Provider
from tests.marketplace.offering import offer, raw

pytestmark = pytest.mark.django_db


def page(path: str, **headers: str) -> str:
    answer = Client().get(path, headers=headers)
    assert answer.status_code == 200, answer.content[:300]
    return unescape(answer.content.decode())


@pytest.fixture
def stocked(market: None) -> None:
    offer(raw("h100", "2.00"), raw("h100x8", "16.00", gpu_count=8), raw("spot", "0.90", kind="spot"))
    offer(raw("lambda", "2.50"), provider="akash")
    offer(raw("list", "3.10"), provider="aws", source="list_price")


def test_the_landing_page_is_the_live_table(stocked: None) -> None:
    html = page("/")
    assert "$2.00" in html
    assert "8 × = <span data-total>$16.00</span> /h" in html
    assert html.count("data-offer=") == 4
    assert "Sandbox: no real money" in html


def test_filters_stand_in_the_address_and_come_off_one_by_one(stocked: None) -> None:
    html = page("/market/?gpu=h100&kind=spot")
    assert html.count("data-offer=") == 1
    assert 'class="chip" href="/market/?kind=spot"' in html
    assert 'class="chip" href="/market/?gpu=h100"' in html
    assert 'value="h100"' in html


def test_sorting_is_a_link_that_says_its_direction(stocked: None) -> None:
    html = page("/market/?sort=price")
    assert 'aria-sort="ascending"><a href="/market/?sort=-price"' in html
    prices = re.findall(r"data-price>\$([\d.]+)<", html)
    assert prices == sorted(prices, key=float)


def test_htmx_gets_the_table_alone_and_a_short_address(stocked: None) -> None:
    answer = Client().get("/market/?gpu=h100&max_price=&region=", headers={"HX-Request": "true", "HX-Target": "market"})
    assert answer["HX-Push-Url"] == "/market/?gpu=h100"
    html = answer.content.decode()
    assert "<html" not in html
    assert 'hx-swap-oob="innerHTML"' in html


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true", "HX-Target": "market"}])
def test_a_wrong_filter_is_named_beside_its_field(stocked: None, headers: dict[str, str]) -> None:
    answer = Client().get("/market/?gpu=quantum&min_ram=x", headers=headers)
    html = unescape(answer.content.decode())
    assert answer.status_code == 422
    assert "“quantum” is not a GPU that we know." in html
    assert 'id="e-min_ram"' in html
    assert 'value="quantum"' in html


def test_no_match_says_what_to_take_away_and_what_is_near(stocked: None) -> None:
    html = page("/market/?gpu=h100&max_price=0.01")
    assert "No offer matches all filters" in html
    assert "without ≤ $0.0100: 4 offers" in html
    assert "Nearest offers" in html
    assert html.count("data-offer=") == 3


def test_an_empty_market_is_not_called_no_match(market: None) -> None:
    html = page("/market/")
    assert "The market is being read" in html
    assert "No offer matches" not in html


def test_an_offer_that_cannot_be_rented_says_why(stocked: None) -> None:
    html = page("/market/?provider=akash")
    assert "for comparison only" in html
    assert "/deploy/?offer=" not in html


def test_list_prices_are_offered_to_be_shown_and_labelled(stocked: None) -> None:
    assert "more match but are hidden: list prices." in page("/market/?gpu=h100")
    html = page("/market/?gpu=h100&source=live&source=list_price")
    assert "List price, not live" in html


def test_a_stale_price_carries_a_warning_and_a_failing_provider_is_named(market: None) -> None:
    with freeze_time(now() - timedelta(hours=5)):
        offer(raw("a"))
    Provider.objects.filter(pk="vast").update(health="failing")
    html = page("/market/")
    assert '<span class="status warn">5 h ago</span>' in html
    assert "Vast.ai is not answering" in html


def test_the_csv_has_the_tables_totals(market: None) -> None:
    offer(*(raw(f"o{n}", f"{n}.333333", gpu_count=3, disk_price_gb_month=Decimal("0.1")) for n in range(1, 8)))
    answer = Client().get("/market/offers.csv?sort=price&disk_gb=100")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    shown = re.findall(r"all-in \$([\d.,]+) /h", page("/market/?sort=price&disk_gb=100"))
    assert [f"{Decimal(row['all_in_usd_per_hour']):.2f}" for row in rows] == shown
    assert len(rows) == 7


def test_an_offers_page_shows_its_price_its_parts_and_its_history(market: None) -> None:
    with freeze_time(now() - timedelta(hours=1)):
        offer(raw("a", "2.00", disk_price_gb_month=Decimal("0.73")))
    offer(raw("a", "2.20", disk_price_gb_month=Decimal("0.73")))
    one = Offer.objects.get()
    html = page(f"/offers/{one.public_id}/?disk_gb=1000&egress_gb=0")
    assert "$3.2000 /h" in html
    assert "2 prices; first seen" in html
    assert f'href="/deploy/?offer={one.public_id}"' in html
    assert "$2.0000" in html  # the table beside the chart


def test_a_withdrawn_offers_page_stays(market: None) -> None:
    offer(raw("a"), raw("b"))
    offer(raw("b"))
    html = page(f"/offers/{Offer.objects.get(ref='a').public_id}/")
    assert "No longer offered" in html
    assert "/deploy/?offer=" not in html.split("More offers of this model")[0]


@pytest.mark.parametrize("path", ["/offers/off_1/", "/offers/nonsense/", "/gpus/nothing/", "/offers/off_%00/"])
def test_what_is_not_there_is_not_found(market: None, path: str) -> None:
    assert Client().get(path).status_code == 404


@pytest.mark.parametrize("path", ["/gpus/h100-sxm-80/?days=x", "/gpus/h100-sxm-80/?days=99999999999"])
def test_a_period_is_one_of_those_offered(market: None, path: str) -> None:
    assert Client().get(path).status_code == 422


def test_a_models_page_shows_figures_offers_and_list_prices(stocked: None) -> None:
    html = page("/gpus/h100-sxm-80/")
    assert "3,350 GB/s" in html
    assert "List prices, not live" in html
    assert html.count("data-offer=") == 4
    assert "H100 SXM" in page("/gpus/")


def test_the_freshness_page_names_every_live_provider(stocked: None) -> None:
    Provider.objects.filter(pk="vast").update(health="failing", last_error="vast: no answer", failures_in_row=3)
    html = page("/providers/")
    assert "vast: no answer" in html
    assert "(3 ×)" in html
    assert "gpurentalprices.com" in html


@pytest.mark.parametrize("path", ["/", "/market/?gpu=h100", "/gpus/", "/gpus/h100-sxm-80/", "/providers/"])
def test_pages_need_neither_inline_scripts_nor_styles(stocked: None, path: str) -> None:
    html = page(path)
    assert " style=" not in html
    assert not re.search(r"<script(?![^>]*(?:src=|application/json))", html)
    assert not re.search(r"\son[a-z]+=", html)


def test_the_theme_is_kept_and_drawn_by_the_server(market: None) -> None:
    client = Client()
    assert '<html lang="en">' in client.get("/market/").content.decode()
    answer = client.post("/theme/", {"theme": "dark", "next": "/market/?gpu=h100"})
    assert answer["Location"] == "/market/?gpu=h100"
    assert '<html lang="en" data-theme="dark">' in client.get("/market/").content.decode()


@pytest.mark.parametrize("given", [{"theme": "neon", "next": "https://evil.example/"}, {}])
def test_the_theme_switch_leads_nowhere_else(market: None, given: dict[str, Any]) -> None:
    answer = Client().post("/theme/", given)
    assert (answer["Location"], answer.cookies["theme"].value) == ("/", "system")


def test_the_language_can_be_chosen_without_javascript(market: None) -> None:
    client = Client()
    client.post("/i18n/setlang/", {"language": "es", "next": "/market/"})
    assert '<html lang="es"' in client.get("/market/").content.decode()
