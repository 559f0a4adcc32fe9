"""Prices over time: changes hold until the next one, imported samples stand alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from freezegun import freeze_time

from lib.clock import now
from marketplace.history import model_history, offer_history, trends
from marketplace.models import Offer, PricePoint
from marketplace.schemas import chart_of
from tests.marketplace.offering import offer, raw

pytestmark = pytest.mark.django_db
H100 = "h100-sxm-80"


@pytest.fixture
def start() -> datetime:
    return (now() - timedelta(days=6)).replace(hour=0, minute=0, second=0, microsecond=0)


def test_a_price_holds_until_it_changes_and_ends_with_its_offer(market: None, start: datetime) -> None:
    with freeze_time(start) as clock:
        offer(raw("a", "2.00"), raw("b", "4.00"))
        clock.tick(timedelta(days=2))
        offer(raw("a", "3.00"), raw("b", "4.00"))
        clock.tick(timedelta(days=2))
        offer(raw("a", "3.00"))
    spans = {span.at: span for span in model_history(H100, days=30, kind="on_demand")}
    first, middle, last = (spans[start + timedelta(days=n)] for n in (1, 3, 5))
    assert (first.lowest, first.count) == (Decimal(2), 2)
    assert (middle.lowest, middle.median, middle.count) == (Decimal(3), Decimal(3), 2)
    assert (last.lowest, last.median, last.count) == (Decimal(3), Decimal(3), 1)


def test_imported_samples_leave_gaps(market: None, start: datetime) -> None:
    for day, price in ((0, "2.00"), (0, "3.00"), (4, "5.00")):
        PricePoint.objects.create(
            provider_id="aws", gpu_id=H100, kind="on_demand", price_per_gpu_hour=price,
            at=start + timedelta(days=day, hours=1), source="history:test",
        )  # fmt: skip
    spans = model_history(H100, days=30, kind="on_demand")
    assert [(span.lowest, span.median, span.count) for span in spans] == [
        (Decimal(2), Decimal(2), 2),
        (Decimal(5), Decimal(5), 1),
    ]
    assert None in chart_of(spans, 30)["series"][0]["values"]


def test_kinds_are_never_mixed(market: None) -> None:
    offer(raw("a", "2.00"), raw("a", "0.50", kind="spot"))
    assert model_history(H100, days=1, kind="spot")[-1].lowest == Decimal("0.5")
    assert model_history(H100, days=1, kind="on_demand")[-1].lowest == Decimal(2)


def test_the_small_line_shows_the_last_hours_until_there_are_days(market: None, start: datetime) -> None:
    with freeze_time(now() - timedelta(hours=1)):
        offer(raw("a", "2.00"))
    pair = (H100, "on_demand")
    assert 10 <= len(trends([pair])[pair]) <= 14
    assert trends([("b200", "spot")]) == {("b200", "spot"): []}


def test_an_offer_tells_each_change(market: None) -> None:
    for price in ("2.00", "2.10", "2.10", "1.90"):
        offer(raw("a", price))
    prices = [price for _, price in offer_history(Offer.objects.get())]
    assert prices == [Decimal("2.00"), Decimal("2.10"), Decimal("1.90")]


def test_the_api_tells_a_models_history(market: None) -> None:
    offer(raw("a", "2.00"))
    answer = Client().get(f"/api/v2/gpus/{H100}/history", {"days": 1}).json()
    assert answer["items"][-1]["median"] == {"amount": "2.000000", "currency": "USD"}
    assert len(answer["x"]) == len(answer["series"][0]["values"])
    assert Client().get("/api/v2/gpus/nothing/history").status_code == 404
    assert Client().get(f"/api/v2/gpus/{H100}/history", {"days": 0}).status_code == 422
    assert Client().get(f"/api/v2/gpus/{H100}/history", {"kind": "x"}).status_code == 422
