"""The market moves by seed and tick alone, around the list prices, and its state outlives the process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest

from sandbox.market import Market
from sandbox.prices import ListPrices
from sandbox.vast.machines import build_machines, present_ask
from tests.sandbox.conftest import RunningPeer

ALL: dict[str, Any] = {"limit": 3000, "verified": {}, "rentable": {}, "rented": {}}


def asks(vast: RunningPeer, **query: Any) -> dict[int, dict[str, Any]]:
    offers = vast.post("/api/v0/bundles/", json={**ALL, **query}).json()["offers"]
    return {offer["id"]: offer for offer in offers}


def prices_of(vast: RunningPeer) -> dict[int, float]:
    return {id: offer["dph_base"] for id, offer in asks(vast).items()}


def test_the_same_seed_and_tick_show_the_same_market(own_peer: Callable[..., RunningPeer], tmp_path: Path) -> None:
    first = own_peer("vast", "--seed", "3")
    first.tick(1000)
    before = prices_of(first)
    first.tick(1)
    first.stop()
    (tmp_path / "vast.sqlite3").unlink()
    again = own_peer("vast", "--seed", "3")
    again.tick(1000)
    assert prices_of(again) == before


def test_another_seed_shows_another_market() -> None:
    one, other = Market(1), Market(2)
    assert [one.wave("x", at=tick) for tick in range(9)] != [other.wave("x", at=tick) for tick in range(9)]


def test_prices_wander_and_come_back() -> None:
    market = Market(7)
    walk = [market.wave("h100", at=tick) for tick in range(5000)]
    steps = [abs(b - a) for a, b in pairwise(walk)]
    assert abs(fmean(walk)) < 0.2
    assert 0.8 < pstdev(walk) < 1.2
    # A swing of 5 % gives steps of about 2 %.
    assert 0.005 < 0.05 * fmean(steps) < 0.03


def test_offers_come_and_go_and_prices_change(vast: RunningPeer) -> None:
    before = prices_of(vast)
    vast.tick(120)
    after = prices_of(vast)
    stayed = before.keys() & after.keys()
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()
    assert len(stayed) > len(before) / 2
    changes = [after[id] / before[id] - 1 for id in stayed if after[id] != before[id]]
    assert changes
    assert max(map(abs, changes)) < 0.25


def test_offers_keep_near_the_list_price(vast: RunningPeer) -> None:
    offers = [offer for offer in asks(vast).values() if offer["gpu_name"] == "RTX 4090"]
    each = [offer["dph_base"] / offer["num_gpus"] for offer in offers]
    assert offers
    assert all(0.31 * 0.8 < price < 0.31 * 2.2 for price in each)
    assert all(offer["min_bid"] < offer["dph_base"] for offer in offers)


def test_capacity_runs_out_and_returns(runpod: RunningPeer) -> None:
    seen: dict[str, set[str]] = {}
    for _ in range(12):
        for gpu in runpod.get("/v2/catalog/gpus?include=AVAILABILITY&product=POD&count=8").json()["gpus"]:
            seen.setdefault(gpu["id"], set()).add(gpu["availability"])
        runpod.tick(40)
    assert any(len(levels) >= 3 for levels in seen.values())


def test_tick_and_offers_survive_a_restart(own_peer: Callable[..., RunningPeer]) -> None:
    first = own_peer("vast")
    first.tick(123)
    before = prices_of(first)
    first.stop()
    again = own_peer("vast")
    assert again.get("/sandbox/health").json()["tick"] == 123
    assert prices_of(again) == before


def test_the_clock_ticks_by_itself(own_peer: Callable[..., RunningPeer]) -> None:
    peer = own_peer("akash", "--tick-s", "0.02")
    peer.wait(lambda: peer.get("/sandbox/health").json()["tick"] >= 3)


def test_a_price_that_nobody_of_the_provider_published_is_the_median_at_its_level(facts: Path) -> None:
    prices = ListPrices.load(facts)
    assert prices.price("vast", "rtx-4090") == Decimal("0.31")
    # Vast is at about two thirds of RunPod's and Lambda's prices, and so is the A100 that only RunPod lists.
    assert Decimal("0.5") < (prices.price("vast", "a100-sxm-80") or Decimal(0)) < Decimal("1.39")
    assert prices.price("vast", "mi300x") is None


def test_the_shipped_facts_make_a_market_of_the_wanted_size(tmp_path: Path) -> None:
    market = Market(7)
    facts = Path(__file__).resolve().parents[2] / "marketplace/data/list_prices.csv"
    for tick in range(0, 2000, 250):
        market.tick = tick
        offered = [ask for m in build_machines(market, ListPrices.load(facts)) if (ask := present_ask(market, m))]
        assert 60 <= len(offered) <= 300
        assert len({ask.id for ask in offered}) == len(offered)
        assert len({ask.machine.card.vast for ask in offered}) >= 25


@pytest.mark.parametrize("body", ["provider,model\nvast,x\n", ""])
def test_unusable_facts_end_the_start_with_one_line(tmp_path: Path, body: str) -> None:
    facts = tmp_path / "facts.csv"
    facts.write_text(body)
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "vast",
        "--port",
        "1",
        "--state",
        str(tmp_path / "s"),
        "--facts",
        str(facts),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=Path(__file__).resolve().parents[2])
    assert ended.returncode == 1
    assert ended.stderr.startswith("sandbox vast: ")
    assert len(ended.stderr.splitlines()) == 1
