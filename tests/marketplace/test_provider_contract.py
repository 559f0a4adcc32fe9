"""One suite for every provider adapter, against its sandbox peer over real HTTP."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests

from marketplace import gpus
from marketplace.providers import wire
from marketplace.providers.akash.adapter import Adapter as Akash
from marketplace.providers.base import (
    Account,
    BadAnswer,
    BadKey,
    Instance,
    LaunchRequest,
    OfferGone,
    Provider,
    ProviderError,
    RateLimited,
    RawOffer,
    Rejected,
    Unreachable,
)
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from marketplace.providers.runpod.adapter import Adapter as RunPod
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.patience import PATIENCE_S

ADAPTERS: dict[str, Any] = {"vast": Vast, "runpod": RunPod, "lambda_labs": Lambda, "akash": Akash}
RENTING = [slug for slug, adapter in ADAPTERS.items() if "rent" in adapter.capabilities]


@dataclass(frozen=True, slots=True)
class Desk:
    """An adapter, and the knobs of the peer that it talks to."""

    slug: str
    url: str
    key: str

    def adapter(self, key: str | None = None) -> Any:
        return ADAPTERS[self.slug](Account(key=self.key if key is None else key, base_url=self.url))

    def fault(self, mode: str, path: str = "") -> None:
        answer = requests.post(f"{self.url}/sandbox/faults", json={"mode": mode, "path": path}, timeout=5)
        assert answer.ok, answer.text

    def befall(self, ref: str, event: str) -> None:
        assert requests.post(f"{self.url}/sandbox/instances/{ref}/{event}", timeout=5).ok


@pytest.fixture
def desk(request: pytest.FixtureRequest, peer: Callable[[str], Any]) -> Iterator[Desk]:
    """A peer without instances and faults; the market stands where it started."""
    slug = request.param
    desk = Desk(slug, peer(slug).url, os.environ["PEER_KEY"])
    assert requests.post(f"{desk.url}/sandbox/reset", timeout=5).ok
    if slug == "lambda_labs":
        add_ssh_key(desk)
    yield desk
    desk.fault("off")


def add_ssh_key(desk: Desk) -> None:
    key = {
        "name": "laptop",
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICN+lJwsONkwrdsSnQsu1ydUkIuIg5oOC laptop",
    }
    headers = {"Authorization": f"Bearer {desk.key}"}
    assert requests.post(f"{desk.url}/api/v1/ssh-keys", json=key, headers=headers, timeout=5).ok


every_adapter = pytest.mark.parametrize("desk", list(ADAPTERS), indirect=True)
every_renting = pytest.mark.parametrize("desk", RENTING, indirect=True)


def launch_request(offer: RawOffer, **changes: Any) -> LaunchRequest:
    return LaunchRequest(
        **{
            "key": f"gpubroker-{uuid4().hex[:12]}",
            "offer_ref": offer.ref,
            "image": "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime",
            "command": ["python", "-c", "print('hello')"],
            "env": {"GREETING": "it's $me"},
            "ports": [8000],
            "disk_gb": 20,
            "gpu_name": offer.gpu_name,
            "gpu_count": offer.gpu_count,
            "kind": offer.kind,
            "region": offer.region,
            "max_price_per_hour": offer.price_per_hour * Decimal("1.1"),
            **changes,
        }
    )


def cheapest(adapter: Provider, kind: str = "on_demand") -> RawOffer:
    open_ = [offer for offer in adapter.list_offers() if offer.kind == kind and offer.available_count != 0]
    return min(open_, key=lambda offer: offer.price_per_hour)


def wait_for(adapter: Provider, ref: str, state: str) -> Instance:
    """Poll, as the reconciler does; the peer boots in its own time."""
    deadline = time.monotonic() + PATIENCE_S
    while (instance := adapter.get(ref)).state != state:
        assert time.monotonic() < deadline, instance
        time.sleep(0.05)
    return instance


@every_adapter
def test_the_listing_is_whole_and_every_gpu_is_known(desk: Desk) -> None:
    adapter = desk.adapter()
    offers = adapter.list_offers()
    assert adapter.refused == []
    assert len(offers) >= 10
    assert len({(offer.ref, offer.kind) for offer in offers}) == len(offers)
    for offer in offers:
        assert offer.gpu_count >= 1
        assert Decimal(0) < offer.price_per_hour < 1000
        assert 1 <= offer.vram_gb <= 300
        assert len(offer.ref) <= 200
        match = gpus.normalise_gpu(offer.gpu_name, vram_gb=offer.vram_gb, form_factor=offer.form_factor)
        assert match is not None, offer
        assert match.confidence != "vram_differs", offer


@every_adapter
def test_capabilities_are_what_the_adapter_has(desk: Desk) -> None:
    adapter = desk.adapter()
    needed = {"list": ["list_offers"], "stop": ["stop", "start"], "logs": ["logs"]}
    needed["rent"] = ["create", "find", "get", "list_instances", "terminate"]
    for capability, names in needed.items():
        for name in names:
            assert hasattr(adapter, name) == (capability in adapter.capabilities)
    assert adapter.slug == desk.slug


@every_adapter
def test_a_listing_without_a_key_works_where_it_is_said_to(desk: Desk) -> None:
    adapter = desk.adapter(key="")
    if adapter.keyless_listing:
        assert adapter.list_offers()
    else:
        with pytest.raises(BadKey):
            adapter.list_offers()


@every_renting
def test_a_wrong_key_is_a_bad_key(desk: Desk) -> None:
    with pytest.raises(BadKey) as refused:
        desk.adapter(key="wrong-key-7f3a").list_instances()
    assert "wrong-key" not in str(refused.value)


FAULTS: dict[str, tuple[type[ProviderError], ...]] = {
    "http_500": (Unreachable,),
    "html": (BadAnswer,),
    "huge": (BadAnswer,),
    "hang": (Unreachable,),
    "auth": (BadKey,),
    "rate_limit": (RateLimited,),
    "negative_prices": (BadAnswer,),
}


@every_adapter
@pytest.mark.parametrize("fault", FAULTS)
def test_a_listing_on_a_bad_day_is_an_error(desk: Desk, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LISTING_S", 0.5 if fault == "hang" else 20.0)
    desk.fault(fault)
    with pytest.raises(FAULTS[fault]) as raised:
        desk.adapter().list_offers()
    assert desk.key not in str(raised.value)
    desk.fault("off")
    assert desk.adapter().list_offers()


@every_adapter
def test_rows_with_missing_fields_are_refused_and_the_rest_is_sound(desk: Desk) -> None:
    desk.fault("missing_fields")
    adapter = desk.adapter()
    try:
        offers = adapter.list_offers()
    except BadAnswer:
        return  # nothing was left to offer
    assert adapter.refused
    assert all(offer.price_per_hour > 0 and offer.gpu_count >= 1 for offer in offers)


@every_renting
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_day_never_looks_like_an_empty_account(desk: Desk, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = desk.adapter()
    instance = adapter.create(launch_request(cheapest(adapter)))
    monkeypatch.setattr(wire, "CALL_S", 0.5 if fault == "hang" else 10.0)
    desk.fault(fault)
    for call in (adapter.list_instances, lambda: adapter.get(instance.ref), lambda: adapter.find(instance.key)):
        with pytest.raises(FAULTS[fault]):
            call()


@every_renting
def test_missing_fields_never_make_an_instance_vanish(desk: Desk) -> None:
    adapter = desk.adapter()
    instance = adapter.create(launch_request(cheapest(adapter)))
    desk.fault("missing_fields")
    with suppress(BadAnswer):
        assert adapter.get(instance.ref).state != "gone"
    with suppress(BadAnswer):
        assert instance.ref in {one.ref for one in adapter.list_instances()}


@every_renting
def test_the_life_of_an_instance(desk: Desk) -> None:
    adapter = desk.adapter()
    offer = cheapest(adapter)
    request = launch_request(offer)
    assert adapter.find(request.key) is None

    created = adapter.create(request)
    assert (created.key, created.state in {"creating", "pulling", "booting", "running"}) == (request.key, True)
    running = wait_for(adapter, created.ref, "running")
    assert running.price_per_hour == offer.price_per_hour
    assert running.ssh_host
    assert running.ssh_port
    if desk.slug != "lambda_labs":  # a machine of its own has all its ports
        assert 8000 in running.ports
    assert [one.ref for one in adapter.list_instances()] == [created.ref]

    adapter.terminate(created.ref)
    wait_for(adapter, created.ref, "gone")
    adapter.terminate(created.ref)
    assert adapter.find(request.key) is None


@every_renting
def test_the_same_key_makes_one_instance(desk: Desk) -> None:
    adapter = desk.adapter()
    request = launch_request(cheapest(adapter))
    assert adapter.create(request).ref == adapter.create(request).ref
    assert len(adapter.list_instances()) == 1


@every_renting
def test_an_instance_whose_answer_was_lost_is_found_by_its_key(desk: Desk) -> None:
    adapter = desk.adapter()
    request = launch_request(cheapest(adapter))
    desk.fault("drop_answer_after_create")
    with pytest.raises(ProviderError):
        adapter.create(request)
    desk.fault("off")
    found = adapter.find(request.key)
    assert found is not None
    assert adapter.create(request).ref == found.ref
    assert len(adapter.list_instances()) == 1


@every_renting
def test_an_offer_that_has_gone_is_told_apart(desk: Desk) -> None:
    adapter = desk.adapter()
    request = launch_request(cheapest(adapter))
    desk.fault("no_capacity")
    with pytest.raises(OfferGone):
        adapter.create(request)
    assert adapter.find(request.key) is None


@every_renting
def test_a_price_above_the_limit_is_not_paid(desk: Desk) -> None:
    adapter = desk.adapter()
    request = launch_request(cheapest(adapter), max_price_per_hour=Decimal("0.000001"))
    with pytest.raises(OfferGone):
        adapter.create(request)
    assert adapter.find(request.key) is None


@every_renting
def test_reserved_is_refused_before_anything_is_made(desk: Desk) -> None:
    adapter = desk.adapter()
    with pytest.raises(Rejected):
        adapter.create(launch_request(cheapest(adapter), kind="reserved"))
    assert adapter.list_instances() == []


@every_renting
def test_an_unknown_instance_is_gone(desk: Desk) -> None:
    ref = {"vast": "999999999", "runpod": "nosuchpod", "lambda_labs": "0" * 32}[desk.slug]
    adapter = desk.adapter()
    assert adapter.get(ref).state == "gone"
    adapter.terminate(ref)


@every_renting
def test_a_failed_machine_is_told(desk: Desk) -> None:
    adapter = desk.adapter()
    instance = adapter.create(launch_request(cheapest(adapter)))
    wait_for(adapter, instance.ref, "running")
    desk.befall(instance.ref, "fail")
    assert adapter.get(instance.ref).state == "failed"


@pytest.mark.parametrize("desk", [s for s in RENTING if "stop" in ADAPTERS[s].capabilities], indirect=True)
def test_stop_and_start_keep_the_instance(desk: Desk) -> None:
    adapter = desk.adapter()
    ref = adapter.create(launch_request(cheapest(adapter))).ref
    wait_for(adapter, ref, "running")
    adapter.stop(ref)
    wait_for(adapter, ref, "stopped")
    adapter.stop(ref)
    adapter.start(ref)
    wait_for(adapter, ref, "running")


@pytest.mark.parametrize("desk", [s for s in RENTING if "logs" in ADAPTERS[s].capabilities], indirect=True)
def test_logs_come_once_and_go_on_after_the_cursor(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "STREAM_QUIET_S", 0.3)
    adapter = desk.adapter()
    ref = adapter.create(launch_request(cheapest(adapter))).ref
    wait_for(adapter, ref, "running")
    lines: list[Any] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(lines) < 2:
        assert time.monotonic() < deadline, lines
        lines += adapter.logs(ref, after=lines[-1].cursor if lines else "")
    assert all(line.text.isprintable() for line in lines)
    again = adapter.logs(ref)
    assert [line.text for line in again[: len(lines)]] == [line.text for line in lines]


@pytest.mark.parametrize("desk", ["vast"], indirect=True)
def test_a_bid_is_billed_as_a_bid_and_a_low_one_leaves_nothing_behind(desk: Desk) -> None:
    adapter = desk.adapter()
    offer = cheapest(adapter, "spot")
    instance = adapter.create(launch_request(offer, max_price_per_hour=offer.price_per_hour * 2))
    assert instance.price_per_hour == offer.price_per_hour * 2
    adapter.terminate(instance.ref)

    low = launch_request(cheapest(adapter, "spot"), max_price_per_hour=Decimal("0.001"))
    with pytest.raises(ProviderError):
        adapter.create(low)
    assert adapter.list_instances() == []


@pytest.mark.parametrize("desk", ["vast"], indirect=True)
def test_an_outbid_instance_is_stopped(desk: Desk) -> None:
    adapter = desk.adapter()
    ref = adapter.create(launch_request(cheapest(adapter, "spot"))).ref
    wait_for(adapter, ref, "running")
    desk.befall(ref, "preempt")
    assert adapter.get(ref).state == "stopped"


@pytest.mark.parametrize("desk", ["vast"], indirect=True)
def test_more_instances_than_a_page_holds(desk: Desk) -> None:
    adapter = desk.adapter()
    offers = [offer for offer in adapter.list_offers() if offer.kind == "on_demand"][:30]
    requests_ = [launch_request(offer) for offer in offers]
    made = {adapter.create(request).ref for request in requests_}
    assert {one.ref for one in adapter.list_instances()} == made
    assert len(made) == 30
    assert adapter.find(requests_[-1].key) is not None
