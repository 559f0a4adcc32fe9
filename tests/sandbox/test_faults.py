"""Faults on demand, and who may ask for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import RunningPeer

PRICES = "/v1/gpu-prices"


def test_off_by_default_and_listed(akash: RunningPeer) -> None:
    assert akash.get("/sandbox/faults").json() == {"faults": []}
    akash.fault("http_500", path="/v1/", count=2)
    assert akash.get("/sandbox/faults").json()["faults"][0]["mode"] == "http_500"


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("vast", "POST", "/api/v0/bundles/"),
        ("runpod", "GET", "/v2/catalog/gpus"),
        ("lambda_labs", "GET", "/api/v1/instance-types"),
        ("akash", "GET", PRICES),
    ],
)
@pytest.mark.parametrize(("mode", "status"), [("http_500", 500), ("auth", 401), ("rate_limit", 429)])
def test_refusals_in_the_providers_own_words(
    shared_peer: Callable[[str], RunningPeer], name: str, method: str, path: str, mode: str, status: int
) -> None:
    peer = shared_peer(name)
    peer.fault(mode)
    answer = peer.call(method, path, json={})
    assert answer.status_code == status
    assert answer.json()
    peer.fault("off")
    assert peer.call(method, path, json={}).status_code == 200


def test_count_and_path(akash: RunningPeer) -> None:
    akash.fault("http_500", count=2)
    assert [akash.get(PRICES).status_code for _ in range(3)] == [500, 500, 200]
    akash.fault("http_500", path="/v2/")
    assert akash.get(PRICES).status_code == 200


def test_seconds(akash: RunningPeer) -> None:
    akash.fault("http_500", seconds=0.2)
    assert akash.get(PRICES).status_code == 500
    akash.wait(lambda: akash.get(PRICES).ok)


def test_html_instead_of_json(akash: RunningPeer) -> None:
    akash.fault("html")
    answer = akash.get(PRICES)
    assert (answer.status_code, answer.text[:9]) == (200, "<!doctype")


def test_huge_answer(akash: RunningPeer) -> None:
    akash.fault("huge", count=1)
    assert len(akash.get(PRICES).content) > 10_000_000


def test_hang_says_nothing_until_it_is_over(akash: RunningPeer) -> None:
    akash.fault("hang", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        requests.get(akash.url + PRICES, timeout=0.2)
    akash.wait(lambda: akash.get(PRICES).ok)


def test_slow_answers_after_a_delay(akash: RunningPeer) -> None:
    akash.fault("slow", delay_s=0.3)
    started = time.monotonic()
    assert akash.get(PRICES).ok
    assert time.monotonic() - started >= 0.3


def test_each_field_is_missing_somewhere(akash: RunningPeer) -> None:
    whole = akash.get(PRICES).json()["models"]
    akash.fault("missing_fields")
    spoilt = akash.get(PRICES).json()["models"]
    assert len(spoilt) == len(whole)
    for name in whole[0]:
        assert any(name not in model for model in spoilt)


@pytest.mark.parametrize("path", ["/v2/catalog/gpus"])
def test_negative_prices(runpod: RunningPeer, path: str) -> None:
    runpod.fault("negative_prices")
    gpus = runpod.get(path).json()["gpus"]
    assert all(gpu["price"]["secure"] < 0 for gpu in gpus)
    assert all(gpu["memory"] > 0 and gpu["secure"] is True for gpu in gpus)


def test_negative_prices_of_vast(vast: RunningPeer) -> None:
    vast.fault("negative_prices")
    offers = vast.post("/api/v0/bundles/", json={}).json()["offers"]
    assert all(offer["dph_total"] < 0 and offer["min_bid"] < 0 for offer in offers)


def test_the_answer_of_a_creation_is_lost_but_not_the_instance(runpod: RunningPeer) -> None:
    gpu = next(
        gpu["id"]
        for gpu in runpod.get("/v2/catalog/gpus?include=AVAILABILITY&product=POD").json()["gpus"]
        if gpu["availability"] != "NONE"
    )
    runpod.fault("drop_answer_after_create", count=1)
    assert runpod.get("/v2/pods").json() == {"pods": []}
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        runpod.post("/v2/pods", json={"name": "key-1", "image": "x", "gpu": {"id": gpu}})
    assert [pod["name"] for pod in runpod.get("/v2/pods").json()["pods"]] == ["key-1"]
    assert runpod.get("/sandbox/faults").json() == {"faults": []}


def test_no_capacity(runpod: RunningPeer, vast: RunningPeer) -> None:
    offer = vast.post("/api/v0/bundles/", json={}).json()["offers"][0]
    vast.fault("no_capacity")
    assert vast.put(f"/api/v0/asks/{offer['id']}/", json={"image": "x"}).status_code == 410
    assert vast.get("/api/v1/instances/").json()["total_instances"] == 0
    runpod.fault("no_capacity")
    gpu = runpod.get("/v2/catalog/gpus").json()["gpus"][0]["id"]
    answer = runpod.post("/v2/pods", json={"name": "a", "image": "x", "gpu": {"id": gpu}})
    assert (answer.status_code, "no longer any instances" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "knob",
    [
        {},
        {"mode": "explode"},
        {"mode": "slow", "seconds": -1},
        {"mode": "slow", "count": "x"},
        {"mode": "slow", "path": 5},
        {"mode": "slow", "colour": "red"},
    ],
)
def test_bad_knobs_are_refused(akash: RunningPeer, knob: dict[str, Any]) -> None:
    assert akash.post("/sandbox/faults", json=knob).status_code == 400
    assert akash.get(PRICES).ok


@pytest.mark.parametrize("ticks", [0, -1, "x", True, 10**9])
def test_bad_ticks_are_refused(akash: RunningPeer, ticks: object) -> None:
    assert akash.post("/sandbox/tick", json={"ticks": ticks}).status_code == 400


def test_pages_in_a_browser_cannot_turn_the_knobs(akash: RunningPeer) -> None:
    headers = {"Origin": "http://evil.example"}
    assert akash.post("/sandbox/faults", json={"mode": "html"}, headers=headers).status_code == 403
    assert akash.post("/sandbox/reset", headers=headers).status_code == 403


def test_other_machines_cannot_turn_the_knobs(own_peer: Callable[..., RunningPeer]) -> None:
    """From an address of this machine that is not loopback; skipped where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no address but loopback")
    peer = own_peer("akash", "--host", "0.0.0.0")
    port = peer.url.rpartition(":")[2]
    assert requests.get(f"http://{address}:{port}{PRICES}", timeout=5).ok
    assert requests.get(f"http://{address}:{port}/sandbox/health", timeout=5).ok
    assert requests.get(f"http://{address}:{port}/sandbox/faults", timeout=5).status_code == 403


def test_unknown_paths_and_methods(shared_peer: Callable[[str], RunningPeer]) -> None:
    for name in ("vast", "runpod", "lambda_labs", "akash"):
        peer = shared_peer(name)
        assert peer.get("/nowhere").status_code == 404
        assert peer.delete("/sandbox/health").status_code == 405
