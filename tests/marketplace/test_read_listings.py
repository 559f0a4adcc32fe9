"""A provider's listing becomes offers in our units; what cannot be true is refused, counted and never offered."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from marketplace.providers.akash.adapter import Adapter as Akash
from marketplace.providers.base import (
    BadAnswer,
    BadKey,
    NoFunds,
    ProviderError,
    RateLimited,
    RawOffer,
    Rejected,
    Unreachable,
)
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from marketplace.providers.runpod.adapter import Adapter as RunPod
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.marketplace.samples import AKASH_MODEL, LAMBDA_TYPE, RUNPOD_GPU, VAST_OFFER
from tests.marketplace.scripted import KEY, Scripted


def vast_listing(provider: Scripted, *rows: Any) -> tuple[list[RawOffer], list[str]]:
    provider.say("POST", "/api/v0/bundles/", {"offers": [VAST_OFFER, *rows]})
    adapter = Vast(provider.account())
    return adapter.list_offers(), adapter.refused


def test_vast_offers_in_our_units_on_demand_and_by_bid(provider: Scripted) -> None:
    offers, refused = vast_listing(provider)
    assert refused == []
    assert {offer.kind: offer.price_per_hour for offer in offers} == {
        "on_demand": Decimal("0.246667"),
        "spot": Decimal("0.2"),
    }
    offer = offers[0]
    assert (offer.ref, offer.gpu_name, offer.gpu_count) == ("11684738", "RTX 4090", 2)
    assert offer.vram_gb == pytest.approx(23.99, abs=0.01)
    assert offer.ram_gb == pytest.approx(64393 / 1024 * 24 / 96)
    assert (offer.vcpus, offer.disk_gb, offer.net_down_mbps) == (24.0, 1607.875, 105.9)
    assert (offer.country, offer.verified, offer.tier) == ("CN", True, "community")
    assert offer.disk_price_gb_month == Decimal("0.001333")
    assert offer.egress_price_gb == 0
    assert offer.max_duration_s == 13356528


def test_vast_is_asked_for_both_kinds_and_for_unverified_machines_too(provider: Scripted) -> None:
    vast_listing(provider)
    bodies = [asked.body for asked in provider.calls("POST")]
    assert [body["type"] for body in bodies] == ["on-demand", "bid"]
    assert all(body["verified"] == {"in": [True, False]} for body in bodies)


def test_vast_lists_without_a_key(provider: Scripted) -> None:
    provider.say("POST", "/api/v0/bundles/", {"offers": [VAST_OFFER]})
    assert Vast(provider.account(key="")).list_offers()
    assert "Authorization" not in provider.asked[0].headers


IMPOSSIBLE: dict[str, list[Any]] = {
    "dph_base": [-0.2, 0, "0.2", None, 1e9, True, [], 1e-9],
    "num_gpus": [0, -1, 1.5, "2", None, True, 10**6],
    "gpu_ram": [0, -24564, 12, 1e12, None, "24 GB"],
    "gpu_name": ["", "  ", "x" * 500, "RTX\x00 4090", "\ud800", "a\nb", None, 4090, {}],
    "id": [None, -1, 1.5, "", "x" * 500, [], True],
    "geolocation": ["\x00", 7, "x" * 900],
    "storage_cost": [-1, "free", True],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name in IMPOSSIBLE for value in IMPOSSIBLE[name]])
def test_a_row_that_cannot_be_true_is_refused_alone(provider: Scripted, field: str, value: Any) -> None:
    offers, refused = vast_listing(provider, {**VAST_OFFER, "id": 2, field: value})
    assert {offer.ref for offer in offers if offer.kind == "on_demand"} == {"11684738"}
    assert refused
    assert all(len(reason) < 200 for reason in refused)


@pytest.mark.parametrize("row", [None, 7, "offer", [], {}])
def test_a_row_that_is_no_row_is_refused_alone(provider: Scripted, row: Any) -> None:
    offers, refused = vast_listing(provider, row)
    assert len(offers) == 2
    assert len(refused) == 2


@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [
        ("cpu_cores", None, "ram_gb"),
        ("inet_down", -5, "net_down_mbps"),
        ("reliability2", 7, "reliability"),
        ("duration", None, "max_duration_s"),
        ("disk_space", "much", "disk_gb"),
    ],
)
def test_what_is_only_nice_to_know_becomes_unknown(provider: Scripted, field: str, value: Any, attribute: str) -> None:
    offers, refused = vast_listing(provider, {**VAST_OFFER, "id": 2, field: value})
    assert refused == []
    second = next(offer for offer in offers if offer.ref == "2")
    if attribute != "ram_gb":
        assert getattr(second, attribute) is None


def test_an_offer_named_twice_counts_once(provider: Scripted) -> None:
    offers, refused = vast_listing(provider, VAST_OFFER)
    assert len(offers) == 2
    assert "named twice" in refused[0]


LISTINGS: list[tuple[type[Vast | RunPod | Lambda | Akash], str, str]] = [
    (Vast, "POST", "/api/v0/bundles/"),
    (RunPod, "GET", "/v2/catalog/gpus"),
    (Lambda, "GET", "/api/v1/instance-types"),
    (Akash, "GET", "/v1/gpu-prices"),
]


@pytest.mark.parametrize(("adapter", "method", "path"), LISTINGS)
@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"<!doctype html><h1>502</h1>",
            b"null",
            b"[]",
            b'"offers"',
            b"{}",
            b"{",
            b"\xff\xfe",
            b"1e999999999999999999",
        ),
        *(b'{"offers": 1, "gpus": 1, "data": 1, "models": 1}', b"[" * 200_000),
        *(b'{"offers": [{}], "gpus": [{}], "data": {"a": {}}, "models": [{}]}', b'{"offers": [NaN]}'),
    ],
)
def test_a_wholly_wrong_answer_is_raised(
    provider: Scripted, adapter: type[Vast], method: str, path: str, body: bytes
) -> None:
    provider.say(method, path, body)
    with pytest.raises(BadAnswer):
        adapter(provider.account()).list_offers()


@pytest.mark.parametrize(("adapter", "method", "path"), LISTINGS)
def test_an_empty_market_is_no_error(provider: Scripted, adapter: type[Vast], method: str, path: str) -> None:
    provider.say(method, path, {"offers": [], "gpus": [], "data": {}, "models": []})
    assert adapter(provider.account()).list_offers() == []


ECHO = f"the key {KEY} is wrong"
OWN_WORDS: dict[type[Any], Any] = {
    Vast: {"success": False, "error": "invalid_args", "msg": ECHO},
    RunPod: {"title": "Wrong", "detail": ECHO, "status": 400, "errors": [ECHO]},
    Lambda: {"error": {"code": "global/unknown", "message": ECHO, "suggestion": ECHO}},
    Akash: {"message": ECHO},
}
FOREIGN_WORDS: list[Any] = [b"<html>", b"", b"\x00\x01", {"error": [], "detail": 7, "errors": "x"}]


def refusal_of(
    provider: Scripted, adapter: type[Vast], place: tuple[str, str], said: Any, status: int
) -> ProviderError:
    provider.answers.clear()
    provider.say(*place, said, status=status, Retry_After="17")
    with pytest.raises(ProviderError) as raised:
        adapter(provider.account()).list_offers()
    assert KEY not in repr(raised.value) + raised.value.message + raised.value.detail
    assert raised.value.__cause__ is None
    return raised.value


@pytest.mark.parametrize(("adapter", "method", "path"), LISTINGS)
@pytest.mark.parametrize(
    ("status", "error", "foreign"),
    [
        (301, BadAnswer, BadAnswer),
        (400, Rejected, BadAnswer),
        (401, BadKey, BadKey),
        (402, NoFunds, NoFunds),
        (403, BadKey, BadAnswer),
        (422, Rejected, BadAnswer),
        (429, RateLimited, RateLimited),
        (500, Unreachable, Unreachable),
        (503, Unreachable, Unreachable),
    ],
)
def test_every_status_has_its_error_and_a_proxys_refusal_is_not_the_providers(
    provider: Scripted,
    adapter: type[Vast],
    method: str,
    path: str,
    status: int,
    error: type[ProviderError],
    foreign: type[ProviderError],
) -> None:
    own = refusal_of(provider, adapter, (method, path), OWN_WORDS[adapter], status)
    assert type(own) is error
    if isinstance(own, RateLimited):
        assert own.retry_after_s == 17
    for words in FOREIGN_WORDS:
        assert type(refusal_of(provider, adapter, (method, path), words, status)) is foreign


def test_vast_tells_its_limit_in_the_text_alone(provider: Scripted) -> None:
    words = b"API requests too frequent: endpoint threshold=6.5"
    provider.say("POST", "/api/v0/bundles/", words, status=429, Content_Type="text/plain")
    with pytest.raises(RateLimited) as raised:
        Vast(provider.account()).list_offers()
    assert raised.value.retry_after_s == 6.5


@pytest.mark.parametrize("key", ["clé", "line\nbreak", "tab\tkey", "\x00"])
def test_a_key_that_no_header_can_carry_is_a_bad_key(provider: Scripted, key: str) -> None:
    for adapter in (Vast, RunPod, Lambda, Akash):
        with pytest.raises(BadKey) as raised:
            adapter(provider.account(key=key))
        assert key not in str(raised.value)


def test_runpod_offers_by_count_cloud_and_data_centre(provider: Scripted) -> None:
    provider.say("GET", "/v2/catalog/gpus", {"gpus": [RUNPOD_GPU]})
    adapter = RunPod(provider.account())
    offers = adapter.list_offers()
    assert adapter.refused == []
    assert [(o.tier, o.gpu_count, o.price_per_hour) for o in offers] == [
        ("secure", 1, Decimal("0.44")),
        ("secure", 2, Decimal("0.88")),
        ("secure", 4, Decimal("1.76")),
        ("secure", 8, Decimal("3.52")),
        ("community", 1, Decimal("0.31")),
        ("community", 2, Decimal("0.62")),
        ("community", 4, Decimal("1.24")),
    ]
    assert {(o.region, o.country, o.available_count) for o in offers} == {("US-KS-2", "US", None)}
    assert {asked.query for asked in provider.asked} == {
        "include=AVAILABILITY&product=POD&count=1&cloud=SECURE",
        "include=AVAILABILITY&product=POD&count=1&cloud=COMMUNITY",
    }


def test_runpod_without_stock_is_listed_as_not_available(provider: Scripted) -> None:
    gone = {**deepcopy(RUNPOD_GPU), "availability": "NONE", "dataCenters": []}
    provider.say("GET", "/v2/catalog/gpus", {"gpus": [gone]})
    offers = RunPod(provider.account()).list_offers()
    assert {(offer.region, offer.available_count) for offer in offers} == {("", 0)}


def test_runpod_without_a_key_reads_the_graphql_price_list(provider: Scripted) -> None:
    cards = [
        {
            "id": "NVIDIA RTX A4000",
            "displayName": "RTX A4000",
            "memoryInGb": 16,
            "maxGpuCount": 2,
            "securePrice": 0.25,
            "communityPrice": 0.17,
            "lowestPrice": {"stockStatus": "High", "uninterruptablePrice": 0.25},
        },
        {
            "id": "AMD Instinct MI300X OAM",
            "memoryInGb": 192,
            "maxGpuCount": 1,
            "securePrice": 2.39,
            "communityPrice": 0,
            "lowestPrice": {"stockStatus": None, "uninterruptablePrice": None},
        },
    ]
    provider.say("POST", "/graphql", {"data": {"gpuTypes": cards}})
    offers = RunPod(provider.account(key="")).list_offers()
    assert [(o.gpu_name, o.tier, o.gpu_count, str(o.price_per_hour), o.available_count) for o in offers] == [
        ("NVIDIA RTX A4000", "secure", 1, "0.250000", None),
        ("NVIDIA RTX A4000", "secure", 2, "0.500000", None),
        ("AMD Instinct MI300X OAM", "secure", 1, "2.390000", 0),
        ("NVIDIA RTX A4000", "community", 1, "0.170000", None),
        ("NVIDIA RTX A4000", "community", 2, "0.340000", None),
    ]


def test_a_graphql_error_is_a_bad_answer_though_its_status_is_200(provider: Scripted) -> None:
    provider.say("POST", "/graphql", {"errors": [{"message": "no"}]})
    with pytest.raises(BadAnswer):
        RunPod(provider.account(key="")).list_offers()


def test_lambda_offers_in_dollars_for_each_region_with_capacity(provider: Scripted) -> None:
    full = {**deepcopy(LAMBDA_TYPE), "regions_with_capacity_available": []}
    full["instance_type"]["name"] = "gpu_8x_full"
    plain = deepcopy(LAMBDA_TYPE)
    plain["instance_type"] |= {"name": "cpu_4x", "gpu_description": "N/A", "specs": {"gpus": 0}}
    data = {"gpu_8x_h100_sxm5gdr": LAMBDA_TYPE, "gpu_8x_full": full, "cpu_4x": plain}
    provider.say("GET", "/api/v1/instance-types", {"data": data})
    adapter = Lambda(provider.account())
    offers = adapter.list_offers()
    assert adapter.refused == []
    assert [(o.ref, o.region, o.country, o.available_count) for o in offers] == [
        ("gpu_8x_h100_sxm5gdr|us-west-1", "us-west-1", "US", None),
        ("gpu_8x_full|", "", "", 0),
    ]
    assert {(o.price_per_hour, o.gpu_count, o.vram_gb, o.gpu_name) for o in offers} == {
        (Decimal("35.92"), 8, 80.0, "H100 (80 GB SXM5)")
    }


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("global/invalid-api-key", 401, BadKey),
        ("global/account-inactive", 403, BadKey),
        ("global/quota-exceeded", 400, Rejected),
        ("global/invalid-parameters", 400, Rejected),
    ],
)
def test_lambda_errors_go_by_their_code(provider: Scripted, code: str, status: int, error: type[ProviderError]) -> None:
    body = {"error": {"code": code, "message": "no", "suggestion": "yes"}}
    provider.say("GET", "/api/v1/instance-types", body, status=status)
    with pytest.raises(error):
        Lambda(provider.account()).list_offers()


def test_akash_prices_are_estimates(provider: Scripted) -> None:
    silent = {**AKASH_MODEL, "model": "v100", "price": None}
    euro = {**AKASH_MODEL, "model": "t4", "price": {**AKASH_MODEL["price"], "currency": "EUR"}}
    odd = {**AKASH_MODEL, "model": "a100", "ram": "eighty"}
    provider.say("GET", "/v1/gpu-prices", {"availability": {}, "models": [AKASH_MODEL, silent, euro, odd]})
    adapter = Akash(provider.account())
    (offer,) = adapter.list_offers()
    assert (offer.gpu_name, offer.vram_gb, offer.form_factor) == ("rtx4090", 24.0, "PCIe")
    assert (offer.price_per_hour, offer.available_count, offer.tier) == (Decimal("0.38"), 12, "estimate")
    assert offer.extra["estimate"] is True
    assert len(adapter.refused) == 2


def test_a_listing_forgets_the_refusals_of_the_last_one(provider: Scripted) -> None:
    bad = {**VAST_OFFER, "id": 2, "dph_base": -1, "min_bid": -1}
    for rows in ([VAST_OFFER, bad], [VAST_OFFER, bad], [VAST_OFFER], [VAST_OFFER]):
        provider.say("POST", "/api/v0/bundles/", json.loads(json.dumps({"offers": rows})))
    adapter = Vast(provider.account())
    adapter.list_offers()
    assert len(adapter.refused) == 2
    adapter.list_offers()
    assert adapter.refused == []
