"""Renting at Lambda: a machine of its own that runs our image."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.providers.base import OfferGone, Rejected
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from tests.marketplace.samples import (
    LAMBDA_REQUEST,
    MACHINE,
    REQUEST,
    lambda_labs,
)
from tests.marketplace.scripted import Scripted


def test_lambda_launches_a_machine_that_runs_the_image(provider: Scripted) -> None:
    instance = lambda_labs(provider).create(LAMBDA_REQUEST)
    body = provider.calls("POST")[0].body
    head, _, commands = body.pop("user_data").partition("\n")
    assert head == "#cloud-config"
    (command,) = json.loads(commands)["runcmd"]
    assert command[:2] == ["docker", "run"]
    assert command[-4:] == ["pytorch/pytorch:latest", "python", "train.py", "--name=a b"]
    assert "TOKEN=it's $ecret" in command
    assert body == {
        "instance_type_name": "gpu_1x_a10",
        "region_name": "us-west-1",
        "ssh_key_names": ["laptop"],
        "name": REQUEST.key,
    }
    assert (instance.state, instance.price_per_hour, instance.ssh_user) == ("running", Decimal("0.25"), "ubuntu")


def test_lambda_uses_the_named_ssh_key(provider: Scripted) -> None:
    lambda_labs(provider).create(replace(LAMBDA_REQUEST, extra={"ssh_key_name": "ci"}))
    assert provider.calls("POST")[0].body["ssh_key_names"] == ["ci"]


def test_lambda_without_any_ssh_key_says_what_to_do(provider: Scripted) -> None:
    adapter = lambda_labs(provider)
    provider.answers.pop(("GET", "/api/v1/ssh-keys"))
    provider.say("GET", "/api/v1/ssh-keys", {"data": []})
    with pytest.raises(Rejected, match="SSH key"):
        adapter.create(LAMBDA_REQUEST)


def test_lambda_finds_what_a_lost_answer_made(provider: Scripted) -> None:
    assert lambda_labs(provider, MACHINE).create(LAMBDA_REQUEST).ref == MACHINE["id"]
    assert provider.calls("POST") == []


def test_lambda_without_capacity_is_an_offer_gone(provider: Scripted) -> None:
    adapter = lambda_labs(provider)
    with pytest.raises(OfferGone):
        adapter.create(replace(LAMBDA_REQUEST, offer_ref="gpu_1x_a10|"))
    provider.answers.pop(("POST", "/api/v1/instance-operations/launch"))
    body = {"error": {"code": "instance-operations/launch/insufficient-capacity", "message": "none"}}
    provider.say("POST", "/api/v1/instance-operations/launch", body, status=400)
    with pytest.raises(OfferGone):
        adapter.create(LAMBDA_REQUEST)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("booting", "booting"),
        ("active", "running"),
        ("unhealthy", "failed"),
        ("preempted", "failed"),
        ("terminating", "exited"),
        ("terminated", "gone"),
    ],
)
def test_lambda_states(provider: Scripted, status: str, state: str) -> None:
    provider.say("GET", "/api/v1/instances/1", {"data": {**MACHINE, "status": status}})
    assert Lambda(provider.account()).get("1").state == state
