"""RunPod: the catalogue, the keyless price list, the life of a pod, its logs as a stream."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import DEADLINE_S, RunningPeer

CATALOG = "/v2/catalog/gpus?include=AVAILABILITY&product=POD"
PRICES = """query GpuTypes($price: GpuLowestPriceInput, $types: GpuTypeFilter) {
  gpuTypes(input: $types) { id displayName memoryInGb maxGpuCount securePrice communityPrice
    lowestPrice(input: $price) { minimumBidPrice uninterruptablePrice stockStatus countryCode } }
  dataCenters { id name listed } countryCodes }"""


def free_gpu(runpod: RunningPeer) -> dict[str, Any]:
    gpus = runpod.get(CATALOG).json()["gpus"]
    return next(gpu for gpu in gpus if gpu["availability"] != "NONE")


def deploy(runpod: RunningPeer, **body: Any) -> dict[str, Any]:
    gpu = {"id": free_gpu(runpod)["id"], "count": 1}
    answer = runpod.post("/v2/pods", json={"name": "pod", "image": "org/image:1", "gpu": gpu, **body})
    assert answer.status_code == 201, answer.text
    pod: dict[str, Any] = answer.json()
    return pod


def wait_running(runpod: RunningPeer, id: str) -> dict[str, Any]:
    runpod.wait(lambda: runpod.get(f"/v2/pods/{id}").json()["status"] == "RUNNING")
    pod: dict[str, Any] = runpod.get(f"/v2/pods/{id}").json()
    return pod


def act(runpod: RunningPeer, id: str, action: str) -> requests.Response:
    return runpod.post(f"/v2/pods/{id}/action", json={"action": action})


class TestCatalog:
    def test_prices_are_for_one_gpu_and_stock_is_by_data_centre(self, runpod: RunningPeer) -> None:
        gpu = free_gpu(runpod)
        assert gpu["price"]["secure"] > 0
        assert gpu["dataCenters"]
        assert {center["availability"] for center in gpu["dataCenters"]} <= {"LOW", "MEDIUM", "HIGH"}
        assert "availability" not in runpod.get("/v2/catalog/gpus").json()["gpus"][0]

    @pytest.mark.parametrize("query", ["include=AVAILABILITY", "include=X&product=POD", "cloud=X", "count=0"])
    def test_refuses_bad_queries(self, runpod: RunningPeer, query: str) -> None:
        answer = runpod.get(f"/v2/catalog/gpus?{query}")
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"

    def test_every_answer_tells_the_rate_limits(self, runpod: RunningPeer) -> None:
        for answer in (runpod.get(CATALOG), runpod.get("/v2/pods/none"), runpod.get("/v2/pods", headers={})):
            assert '"minute";r=' in answer.headers["ratelimit"]
            assert "w=60" in answer.headers["ratelimit-policy"]


class TestGraphql:
    def test_lists_prices_without_a_key(self, runpod: RunningPeer) -> None:
        variables = {"price": {"secureCloud": True, "gpuCount": 1}}
        answer = runpod.post("/graphql", json={"query": PRICES, "variables": variables}, headers={})
        data = answer.json()["data"]
        by_id = {gpu["id"]: gpu for gpu in runpod.get(CATALOG).json()["gpus"]}
        assert {gpu["id"] for gpu in data["gpuTypes"]} == set(by_id)
        for gpu in data["gpuTypes"]:
            assert set(gpu) >= {"id", "displayName", "memoryInGb", "lowestPrice"}
            assert gpu["securePrice"] == by_id[gpu["id"]]["price"]["secure"]
            in_stock = by_id[gpu["id"]]["availability"] != "NONE"
            assert (gpu["lowestPrice"]["stockStatus"] is not None) == in_stock
            assert gpu["lowestPrice"]["uninterruptablePrice"] == (gpu["securePrice"] if in_stock else None)
        assert "RO" in data["countryCodes"]
        assert {"id": "EU-RO-1", "name": "EU Romania 1", "listed": True} in data["dataCenters"]

    def test_by_data_centre_and_with_literals_and_aliases(self, runpod: RunningPeer) -> None:
        query = '{ one: gpuTypes(input: {id: "NVIDIA H100 80GB HBM3"}) { id lowestPrice(input: {dataCenterId: "X"}) { stockStatus } } }'
        data = runpod.post("/graphql", json={"query": query}).json()["data"]
        assert data == {"one": [{"id": "NVIDIA H100 80GB HBM3", "lowestPrice": {"stockStatus": None}}]}

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "{",
            "{ gpuTypes }",
            "{ gpuTypes { nothing } }",
            "mutation { podStop }",
            "{ gpuTypes { id { x } } }",
            "{ a(b: }",
        ],
    )
    def test_errors_come_with_status_200(self, runpod: RunningPeer, query: str) -> None:
        answer = runpod.post("/graphql", json={"query": query})
        assert answer.status_code == 200
        assert answer.json()["errors"][0]["message"]


class TestPod:
    def test_provisions_then_runs_with_metrics_and_ssh(self, runpod: RunningPeer) -> None:
        made = deploy(runpod, ports=["22/tcp", "8000/http"], env={"A": "b"}, name="pod-1-0")
        assert (made["status"], made["runtime"], made["ssh"]["direct"]) == ("PROVISIONING", None, None)
        assert made["actions"] == ["stop", "terminate"]
        pod = wait_running(runpod, made["id"])
        assert (pod["name"], pod["env"], pod["cost"] > 0) == ("pod-1-0", {"A": "b"}, True)
        direct = pod["ssh"]["direct"]
        with socket.create_connection((direct["host"], direct["port"]), timeout=5) as probe:
            assert probe.recv(64) == b"SSH-2.0-sandbox\r\n"
        assert {port["private"]: port["type"] for port in pod["runtime"]["ports"]} == {22: "tcp", 8000: "http"}
        assert 0 <= pod["runtime"]["gpus"][0]["util"] <= 100

    def test_direct_ssh_needs_port_22(self, runpod: RunningPeer) -> None:
        pod = wait_running(runpod, deploy(runpod)["id"])
        assert pod["ssh"]["direct"] is None
        assert pod["ssh"]["proxy"]["host"] == "127.0.0.1"

    def test_metrics_move(self, runpod: RunningPeer) -> None:
        id = wait_running(runpod, deploy(runpod)["id"])["id"]
        first = runpod.get(f"/v2/pods/{id}").json()["runtime"]
        runpod.wait(lambda: runpod.get(f"/v2/pods/{id}").json()["runtime"]["gpus"] != first["gpus"])

    def test_stop_start_restart_terminate(self, runpod: RunningPeer) -> None:
        id = wait_running(runpod, deploy(runpod, ports=["22/tcp"])["id"])["id"]
        assert act(runpod, id, "start").status_code == 409
        stopped = act(runpod, id, "stop").json()
        assert (stopped["status"], stopped["cost"], stopped["runtime"]) == ("EXITED", 0.0, None)
        assert stopped["actions"] == ["start", "terminate"]
        assert act(runpod, id, "start").json()["status"] in ("PROVISIONING", "STARTING")
        wait_running(runpod, id)
        assert act(runpod, id, "restart").status_code == 200
        wait_running(runpod, id)
        assert act(runpod, id, "terminate").status_code == 204
        assert runpod.get(f"/v2/pods/{id}").status_code == 404
        assert act(runpod, id, "terminate").status_code == 404
        assert runpod.get("/v2/pods").json() == {"pods": []}

    def test_delete_terminates(self, runpod: RunningPeer) -> None:
        id = deploy(runpod)["id"]
        assert runpod.delete(f"/v2/pods/{id}").status_code == 204
        assert runpod.delete(f"/v2/pods/{id}").status_code == 404

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"name": ""}, 422),
            ({"image": None}, 422),
            ({"colour": "red"}, 422),
            ({"ports": ["22"]}, 422),
            ({"env": {"A": 1}}, 422),
            ({"disk": 0}, 422),
            ({"gpu": {"count": 1}}, 422),
            ({"cloud": "HOME"}, 422),
            ({"mounts": {"persistent": {"size": 5, "path": "/w"}}}, 422),
            ({"gpu": {"id": "NVIDIA None"}}, 400),
            ({"cpu": {"id": "cpu3c"}}, 400),
            ({"dataCenterIds": ["XX-1"]}, 400),
        ],
    )
    def test_refuses_bad_requests(self, runpod: RunningPeer, change: dict[str, Any], status: int) -> None:
        body = {"name": "x", "image": "y", "gpu": {"id": free_gpu(runpod)["id"]}, **change}
        answer = runpod.post("/v2/pods", json=body)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert runpod.get("/v2/pods").json() == {"pods": []}

    def test_needs_the_key(self, runpod: RunningPeer) -> None:
        for headers in ({}, {"Authorization": "Bearer no"}):
            assert runpod.get("/v2/pods", headers=headers).status_code == 401
            assert runpod.get(CATALOG, headers=headers).status_code == 401

    def test_bills(self, runpod: RunningPeer) -> None:
        id = wait_running(runpod, deploy(runpod)["id"])["id"]
        runpod.wait(lambda: runpod.get("/v2/billing/pods").json()["metadata"]["totals"]["gpuAmount"] > 0)
        runpod.delete(f"/v2/pods/{id}")
        bill = runpod.get("/v2/billing/pods", params={"podId": id}).json()
        assert bill["metadata"]["uniquePodCount"] == 1
        assert bill["records"][0]["podId"] == id
        assert bill == {**runpod.get("/v2/billing/pods", params={"podId": id}).json(), "metadata": bill["metadata"]}

    def test_bills_by_day(self, runpod: RunningPeer) -> None:
        id = deploy(runpod)["id"]
        for day, usd in (("2026-06-01", "1.5"), ("2026-06-02", "0.25"), ("2026-06-03", "4")):
            assert runpod.post(f"/sandbox/instances/{id}/charge", json={"day": day, "usd": usd}).status_code == 200
        # Not whole days are widened to whole ones; the end is not included.
        span = {"startTime": "2026-06-01T10:00:00Z", "endTime": "2026-06-02T10:00:00Z", "podId": id}
        bill = runpod.get("/v2/billing/pods", params=span).json()
        assert [(row["startTime"], row["totalAmount"]) for row in bill["records"]] == [
            ("2026-06-01T00:00:00Z", 1.5),
            ("2026-06-02T00:00:00Z", 0.25),
        ]
        assert (bill["metadata"]["recordCount"], bill["metadata"]["totals"]["totalAmount"]) == (2, 1.75)
        assert (
            runpod.get("/v2/billing/pods", params={"lastN": "1", "podId": id}).json()["metadata"]["uniquePodCount"] <= 1
        )

    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            ({"lastN": "0"}, 422),
            ({"startTime": "yesterday"}, 422),
            ({"lastN": "3", "startTime": "2026-06-01T00:00:00Z"}, 400),
            ({"bucketSize": "hour"}, 400),
        ],
    )
    def test_bills_of_nonsense_are_refused(self, runpod: RunningPeer, asked: dict[str, str], status: int) -> None:
        assert runpod.get("/v2/billing/pods", params=asked).status_code == status

    @pytest.mark.parametrize("body", [{}, {"day": "soon", "usd": "1"}, {"day": "2026-06-01", "usd": "NaN"}])
    def test_only_sums_are_charged(self, runpod: RunningPeer, body: dict[str, str]) -> None:
        id = deploy(runpod)["id"]
        assert runpod.post(f"/sandbox/instances/{id}/charge", json=body).status_code in {400, 404}


class TestLogs:
    def test_stream_and_resume(self, own_peer: Callable[..., RunningPeer]) -> None:
        runpod = own_peer("runpod", "--boot-s", "0.1")
        id = wait_running(runpod, deploy(runpod)["id"])["id"]
        with closing(follow(runpod, id, source="container")) as events:
            first, second = next(events), next(events)
        assert first["data"]["line"].startswith("sandbox workload")
        assert second["data"]["line"].startswith("step 1 ")
        assert second["data"]["source"] == "container"
        with closing(follow(runpod, id, source="container", after=first["id"])) as events:
            assert next(events) == second

    def test_a_stopped_pod_ends_its_stream(self, runpod: RunningPeer) -> None:
        id = wait_running(runpod, deploy(runpod)["id"])["id"]
        act(runpod, id, "stop")
        lines = [event["data"]["line"] for event in follow(runpod, id, source="system")]
        assert lines[0] == "create container org/image:1"
        assert lines[-1] == "container stopped"

    @pytest.mark.parametrize("query", ["source=x", "tail=-1", "tail=9999", "since=yesterday"])
    def test_refuses_bad_queries(self, runpod: RunningPeer, query: str) -> None:
        id = deploy(runpod)["id"]
        assert runpod.get(f"/v2/pods/{id}/logs?{query}").status_code == 422


def follow(runpod: RunningPeer, id: str, *, source: str, after: str = "") -> Generator[dict[str, Any], None, None]:
    headers = {**runpod.headers, **({"Last-Event-ID": after} if after else {})}
    url = f"{runpod.url}/v2/pods/{id}/logs?source={source}"
    with requests.get(url, headers=headers, stream=True, timeout=DEADLINE_S) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            name, _, value = line.partition(": ")
            if name == "id":
                event = {"id": value}
            elif name == "data":
                yield {**event, "data": json.loads(value)}
