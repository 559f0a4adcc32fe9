"""Lambda: whole instances by type and region."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest

from tests.sandbox.conftest import KEY, RunningPeer

LAUNCH = "/api/v1/instance-operations/launch"


@pytest.fixture
def order(lambda_labs: RunningPeer) -> dict[str, Any]:
    """A launch that would succeed."""
    lambda_labs.post("/api/v1/ssh-keys", json={"name": "one", "public_key": "ssh-ed25519 AAAA me"})
    types = lambda_labs.get("/api/v1/instance-types").json()["data"]
    for name, item in types.items():
        for region in item["regions_with_capacity_available"]:
            return {"region_name": region["name"], "instance_type_name": name, "ssh_key_names": ["one"]}
    raise AssertionError("no room anywhere")


def test_prices_are_cents_for_the_whole_instance(lambda_labs: RunningPeer) -> None:
    types = lambda_labs.get("/api/v1/instance-types").json()["data"]
    eight = types["gpu_8x_h100_sxm5gdr"]["instance_type"]
    assert eight["price_cents_per_hour"] == pytest.approx(8 * 399, rel=0.1)
    assert eight["gpu_description"] == "H100 (80 GB SXM5)"


def test_launch_run_terminate(lambda_labs: RunningPeer, order: dict[str, Any]) -> None:
    tags = [{"key": "pod", "value": "1"}]
    launched = lambda_labs.post(LAUNCH, json={**order, "name": "pod-1", "tags": tags}).json()["data"]
    path = f"/api/v1/instances/{launched['instance_ids'][0]}"
    assert lambda_labs.get(path).json()["data"]["status"] in ("booting", "active")
    lambda_labs.wait(lambda: lambda_labs.get(path).json()["data"]["status"] == "active")
    instance = lambda_labs.get(path).json()["data"]
    told = {tag["key"]: tag["value"] for tag in instance["tags"]}
    assert (instance["name"], told["pod"]) == ("pod-1", "1")
    with socket.create_connection((instance["ip"], int(told["sandbox:ssh-port"])), timeout=5) as probe:
        assert probe.recv(64) == b"SSH-2.0-sandbox\r\n"
    ended = lambda_labs.post("/api/v1/instance-operations/terminate", json=launched).json()["data"]
    assert ended["terminated_instances"][0]["status"] == "terminating"
    lambda_labs.wait(lambda: lambda_labs.get(path).status_code == 404)


def test_the_key_goes_as_bearer_or_as_basic_user(lambda_labs: RunningPeer) -> None:
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    assert lambda_labs.get("/api/v1/instances", headers={"Authorization": f"Basic {basic}"}).status_code == 200
    for wrong in ("Basic !", f"Basic {base64.b64encode(b'no:').decode()}", "Bearer no", ""):
        answer = lambda_labs.get("/api/v1/instances", headers={"Authorization": wrong})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "global/invalid-api-key")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"region_name": None}, "global/invalid-parameters"),
        ({"ssh_key_names": ["one", "two"]}, "global/invalid-parameters"),
        ({"hostname": "-x-"}, "global/invalid-parameters"),
        ({"tags": [{"key": "A", "value": "x"}]}, "global/invalid-parameters"),
        ({"ssh_key_names": ["other"]}, "global/object-does-not-exist"),
        ({"instance_type_name": "gpu_9x"}, "global/object-does-not-exist"),
        ({"region_name": "moon-1"}, "global/object-does-not-exist"),
    ],
)
def test_refuses_bad_launches(
    lambda_labs: RunningPeer, order: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    answer = lambda_labs.post(LAUNCH, json={**order, **change})
    assert answer.json()["error"]["code"] == code
    assert lambda_labs.get("/api/v1/instances").json() == {"data": []}


def test_a_preempted_instance_says_so(lambda_labs: RunningPeer, order: dict[str, Any]) -> None:
    id = lambda_labs.post(LAUNCH, json=order).json()["data"]["instance_ids"][0]
    lambda_labs.post(f"/sandbox/instances/{id}/preempt")
    assert lambda_labs.get(f"/api/v1/instances/{id}").json()["data"]["status"] == "preempted"
