"""The peers answer as the services' public descriptions say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import Check, RunningPeer

Contract = Callable[[str, RunningPeer], Check]


def test_vast(vast: RunningPeer, contract: Contract) -> None:
    check = contract("vast/openapi.yaml", vast)
    offer = check(vast.post("/api/v0/bundles", json={"limit": 5})).json()["offers"][0]
    contract_id = check(vast.put(f"/api/v0/asks/{offer['id']}", json={"image": "x"})).json()["new_contract"]
    path = f"/api/v0/instances/{contract_id}"
    check(vast.get("/api/v1/instances"))
    vast.wait(lambda: vast.get(path).json()["instances"]["actual_status"] == "running")
    check(vast.get("/api/v1/instances"))
    check(vast.get(path))
    check(vast.put(path, json={"state": "stopped", "label": "pod"}))
    check(vast.put(f"/api/v0/instances/request_logs/{contract_id}", json={"tail": "10"}))
    check(vast.get("/api/v0/charges", params={"select_filters": '{"day":{"gte":0,"lte":9999999999}}'}))
    check(vast.delete(path))
    check(vast.delete(path))
    check(vast.get(path, headers={}))
    check(vast.put("/api/v0/asks/1", json={"image": "x"}))
    check(vast.put(f"/api/v0/asks/{offer['id']}", json={}))


def test_runpod(runpod: RunningPeer, contract: Contract) -> None:
    check = contract("runpod/openapi-v2.json", runpod)
    gpus = check(runpod.get("/v2/catalog/gpus?include=AVAILABILITY&product=POD")).json()["gpus"]
    check(runpod.get(f"/v2/catalog/gpus/{gpus[0]['id']}"))
    check(runpod.get("/v2/catalog/datacenters?include=GPU_AVAILABILITY"))
    gpu = next(gpu["id"] for gpu in gpus if gpu["availability"] != "NONE")
    body = {"name": "pod", "image": "x", "gpu": {"id": gpu}, "ports": ["22/tcp", "8000/http"], "env": {"A": "b"}}
    path = f"/v2/pods/{check(runpod.post('/v2/pods', json=body)).json()['id']}"
    runpod.wait(lambda: runpod.get(path).json()["status"] == "RUNNING")
    check(runpod.get(path))
    check(runpod.get("/v2/pods"))
    check(runpod.call("PATCH", path, json={"name": "other"}))
    check(runpod.post(f"{path}/action", json={"action": "start"}))
    check(runpod.post(f"{path}/action", json={"action": "stop"}))
    check(runpod.get("/v2/billing/pods"))
    check(runpod.delete(path))
    check(runpod.get(path))
    check(runpod.post("/v2/pods", json={"nonsense": 1}))
    check(runpod.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA me"]}))
    check(runpod.get("/v2/pods", headers={}))


def test_lambda_labs(lambda_labs: RunningPeer, contract: Contract) -> None:
    check = contract("lambda/openapi.json", lambda_labs)
    types = check(lambda_labs.get("/api/v1/instance-types")).json()["data"]
    check(lambda_labs.get("/api/v1/regions"))
    key = check(lambda_labs.post("/api/v1/ssh-keys", json={"name": "one", "public_key": "ssh-ed25519 AAAA me"}))
    check(lambda_labs.get("/api/v1/ssh-keys"))
    name, region = next(
        (name, item["regions_with_capacity_available"][0]["name"])
        for name, item in types.items()
        if item["regions_with_capacity_available"]
    )
    body: dict[str, Any] = {"region_name": region, "instance_type_name": name, "ssh_key_names": ["one"]}
    launched = check(lambda_labs.post("/api/v1/instance-operations/launch", json=body)).json()["data"]
    path = f"/api/v1/instances/{launched['instance_ids'][0]}"
    check(lambda_labs.get(path))
    lambda_labs.wait(lambda: lambda_labs.get(path).json()["data"]["status"] == "active")
    check(lambda_labs.get(path))
    check(lambda_labs.get("/api/v1/instances"))
    check(lambda_labs.post("/api/v1/instance-operations/restart", json=launched))
    check(lambda_labs.post("/api/v1/instance-operations/terminate", json=launched))
    check(lambda_labs.post("/api/v1/instance-operations/launch", json={**body, "ssh_key_names": []}))
    check(lambda_labs.post("/api/v1/instance-operations/launch", json={**body, "ssh_key_names": ["other"]}))
    check(lambda_labs.get("/api/v1/instances/none"))
    check(lambda_labs.get("/api/v1/instances", headers={}))
    check(lambda_labs.delete(f"/api/v1/ssh-keys/{key.json()['data']['id']}"))


def test_lambda_labs_without_room(lambda_labs: RunningPeer, contract: Contract) -> None:
    check = contract("lambda/openapi.json", lambda_labs)
    lambda_labs.post("/api/v1/ssh-keys", json={"name": "one", "public_key": "ssh-ed25519 AAAA me"})
    lambda_labs.fault("no_capacity")
    types = lambda_labs.get("/api/v1/instance-types").json()["data"]
    body = {"region_name": "us-west-1", "instance_type_name": min(types), "ssh_key_names": ["one"]}
    answer = check(lambda_labs.post("/api/v1/instance-operations/launch", json=body))
    assert answer.json()["error"]["code"] == "instance-operations/launch/insufficient-capacity"


@pytest.mark.parametrize("ticks", [1, 500, 5000])
def test_akash(akash: RunningPeer, contract: Contract, ticks: int) -> None:
    akash.tick(ticks)
    contract("akash/console-openapi.json", akash)(akash.get("/v1/gpu-prices", headers={}))
