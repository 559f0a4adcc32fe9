"""Renting at RunPod: once for each key, stopped and started, with its logs as events."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from marketplace.providers.base import NoFunds, OfferGone, Rejected
from marketplace.providers.runpod.adapter import Adapter as RunPod
from tests.marketplace.samples import (
    POD,
    REQUEST,
    RUNPOD_REQUEST,
    runpod,
)
from tests.marketplace.scripted import Scripted


def test_runpod_rents_with_the_key_as_name(provider: Scripted) -> None:
    instance = runpod(provider).create(RUNPOD_REQUEST)
    assert provider.calls("POST")[0].body == {
        "name": REQUEST.key,
        "image": "pytorch/pytorch:latest",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 2},
        "cloud": "COMMUNITY",
        "dataCenterIds": ["US-KS-2"],
        "disk": 20,
        "env": {"TOKEN": "it's $ecret", "MODE": "fast"},
        "ports": ["22/tcp", "8000/tcp"],
        "startSsh": True,
        "args": "python train.py '--name=a b'",
    }
    assert (instance.state, instance.price_per_hour) == ("running", Decimal("0.25"))
    assert (instance.ssh_host, instance.ssh_port, instance.ssh_user) == ("195.26.233.3", 34446, "root")
    assert instance.ports == {8000: "195.26.233.3:34447"}
    assert instance.started_at == datetime(2026, 3, 13, 20, 0, 5, tzinfo=UTC)


def test_runpod_finds_what_a_lost_answer_made(provider: Scripted) -> None:
    assert runpod(provider, POD).create(RUNPOD_REQUEST).ref == "7h9k2m4n6p"
    assert provider.calls("POST") == []


def test_runpod_spot_is_not_to_be_had(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        runpod(provider).create(replace(RUNPOD_REQUEST, kind="spot"))
    assert provider.asked == []


def test_a_dearer_pod_is_ended(provider: Scripted) -> None:
    with pytest.raises(OfferGone):
        runpod(provider, cost=0.31).create(RUNPOD_REQUEST)
    assert provider.calls("DELETE")


@pytest.mark.parametrize("ref", ["", "x", "a|b|c|d", "a|SECURE|two|"])
def test_a_reference_that_is_no_runpod_offer_is_refused(provider: Scripted, ref: str) -> None:
    with pytest.raises(Rejected):
        runpod(provider).create(replace(RUNPOD_REQUEST, offer_ref=ref))


@pytest.mark.parametrize(
    ("detail", "raised"),
    [
        ("There are no longer any instances available with the requested specifications.", OfferGone),
        ("Your balance is too low", NoFunds),
        ("image is required", Rejected),
    ],
)
def test_why_runpod_did_not_rent(provider: Scripted, detail: str, raised: type[Exception]) -> None:
    provider.say("GET", "/v2/pods", {"pods": []})
    provider.say("POST", "/v2/pods", {"title": "Bad Request", "status": 400, "detail": detail}, status=400)
    with pytest.raises(raised):
        RunPod(provider.account()).create(RUNPOD_REQUEST)


def test_stopping_what_stands_already_is_fine(provider: Scripted) -> None:
    conflict = {"title": "Conflict", "status": 409, "detail": "invalid action"}
    provider.say("POST", "/v2/pods/7h9k2m4n6p/action", conflict, status=409)
    provider.say("GET", "/v2/pods/7h9k2m4n6p", {**POD, "status": "EXITED", "runtime": None, "cost": 0.0})
    adapter = RunPod(provider.account())
    adapter.stop("7h9k2m4n6p")
    with pytest.raises(Rejected):
        adapter.start("7h9k2m4n6p")
    assert adapter.get("7h9k2m4n6p").price_per_hour is None


def test_runpod_logs_are_events_after_the_last_one_and_a_cut_one_is_left(provider: Scripted) -> None:
    events = [
        f"id: 2026-06-01T12:02:0{n}Z/00000000000{n}\ndata: {json.dumps({'ts': f'2026-06-01T12:02:0{n}Z', 'line': text})}"
        for n, text in enumerate(["  indented", "two"])
    ]
    odd = [events[0].replace("id: 2026", "id: é2026"), events[0].partition("\n")[2]]
    stream = "\n\n".join([": ping", *events, *odd, "id: broken\ndata: {", "data: {}", 'id: cut\ndata: {"ts']).encode()
    provider.say("GET", "/v2/pods/p/logs", stream, Content_Type="text/event-stream")
    lines = RunPod(provider.account()).logs("p", after="2026-06-01T12:01:00Z/000000000009")
    assert [(line.text, line.cursor) for line in lines] == [
        ("  indented", "2026-06-01T12:02:00Z/000000000000"),
        ("two", "2026-06-01T12:02:01Z/000000000001"),
    ]
    assert lines[1].at == datetime(2026, 6, 1, 12, 2, 1, tzinfo=UTC)
    assert provider.asked[0].headers["Last-Event-ID"] == "2026-06-01T12:01:00Z/000000000009"
