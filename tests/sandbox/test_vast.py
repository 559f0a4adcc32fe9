"""Vast.ai: search, rent, steer, destroy, as its own API does it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import KEY, RunningPeer

ALL: dict[str, Any] = {"limit": 3000, "verified": {}, "rentable": {}, "rented": {}}


def find(vast: RunningPeer, **query: Any) -> list[dict[str, Any]]:
    answer = vast.post("/api/v0/bundles/", json={"limit": 3000, **query})
    assert answer.status_code == 200, answer.text
    offers: list[dict[str, Any]] = answer.json()["offers"]
    return offers


def rent(vast: RunningPeer, **body: Any) -> int:
    """A rented instance of the first offer, by default on demand."""
    offer = body.pop("offer", None) or find(vast)[0]
    answer = vast.put(f"/api/v0/asks/{offer['id']}/", json={"image": "org/image:1", "disk": 20, **body})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["new_contract"])


def show(vast: RunningPeer, id: int) -> dict[str, Any]:
    shown: dict[str, Any] = vast.get(f"/api/v0/instances/{id}/").json()["instances"]
    return shown


def wait_running(vast: RunningPeer, id: int) -> dict[str, Any]:
    vast.wait(lambda: show(vast, id)["actual_status"] == "running")
    return show(vast, id)


class TestSearch:
    def test_needs_no_key_but_refuses_a_wrong_one(self, vast: RunningPeer) -> None:
        assert vast.post("/api/v0/bundles/", json={}, headers={}).status_code == 200
        wrong = vast.post("/api/v0/bundles/", json={}, headers={"Authorization": "Bearer no"})
        assert wrong.json()["error"] == "auth_error"

    def test_shows_verified_and_rentable_by_default(self, vast: RunningPeer) -> None:
        usual = find(vast)
        assert {offer["verification"] for offer in usual} == {"verified"}
        assert all(offer["rentable"] and not offer["rented"] for offer in usual)
        assert {offer["verification"] for offer in find(vast, **ALL)} == {"verified", "unverified"}
        assert not all(offer["rentable"] for offer in find(vast, **ALL))

    def test_filters(self, vast: RunningPeer) -> None:
        found = find(vast, gpu_name={"in": ["RTX_4090", "RTX 3090"]}, num_gpus={"gte": 2}, reliability={"gt": 0.95})
        assert found
        assert {offer["gpu_name"] for offer in found} <= {"RTX 4090", "RTX 3090"}
        assert all(offer["num_gpus"] >= 2 and offer["reliability2"] > 0.95 for offer in found)
        places = {offer["geolocation"][-2:] for offer in find(vast, **ALL)}
        wanted = min(places)
        assert {offer["geolocation"][-2:] for offer in find(vast, **ALL, geolocation={"eq": wanted})} == {wanted}
        assert wanted not in {o["geolocation"][-2:] for o in find(vast, **ALL, geolocation={"notin": [wanted]})}

    def test_order_and_limit(self, vast: RunningPeer) -> None:
        found = find(vast, order=[["dph_total", "asc"]], limit=10)
        assert len(found) == 10
        assert [o["dph_total"] for o in found] == sorted(o["dph_total"] for o in found)

    def test_storage_is_in_the_total(self, vast: RunningPeer) -> None:
        small, big = find(vast, allocated_storage=10)[0], find(vast, allocated_storage=100)[0]
        assert big["dph_total"] - big["dph_base"] == pytest.approx(100 * big["storage_cost"] / 720)
        assert small["dph_total"] < big["dph_total"]

    def test_bids_are_cheaper_and_say_so(self, vast: RunningPeer) -> None:
        bids = find(vast, type="bid")
        assert all(offer["is_bid"] and offer["dph_base"] == offer["min_bid"] for offer in bids)

    @pytest.mark.parametrize(
        "query",
        [
            {"num_gpus": 2},
            {"num_gpus": {"about": 2}},
            {"num_gpus": {"in": 2}},
            {"order": "price"},
            {"limit": 0},
            {"type": "gift"},
            {"allocated_storage": "much"},
        ],
    )
    def test_refuses_what_it_cannot_read(self, vast: RunningPeer, query: dict[str, Any]) -> None:
        answer = vast.post("/api/v0/bundles/", json=query)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_refuses_what_is_not_json(self, vast: RunningPeer) -> None:
        assert vast.post("/api/v0/bundles/", data=b"{").status_code == 400


class TestRent:
    def test_boots_then_runs_and_answers_on_its_ports(self, vast: RunningPeer) -> None:
        id = rent(vast, label="pod-1", env="-e A=b -p 8000:8000", onstart="true")
        first = show(vast, id)
        assert first["actual_status"] in (None, "loading", "running")
        assert (first["label"], first["intended_status"], first["image_uuid"]) == ("pod-1", "running", "org/image:1")
        now = wait_running(vast, id)
        assert now["extra_env"] == [["A", "b"], ["-p 8000:8000", "1"]]
        assert now["ports"]["22/tcp"][0]["HostPort"] == str(now["ssh_port"])
        assert 0 <= now["gpu_util"] <= 100
        with socket.create_connection((now["ssh_host"], now["ssh_port"]), timeout=5) as probe:
            assert probe.recv(64) == b"SSH-2.0-sandbox\r\n"
        port = now["ports"]["8000/tcp"][0]["HostPort"]
        assert requests.get(f"http://{now['public_ipaddr']}:{port}/", timeout=5).status_code == 200

    def test_does_not_listen_before_it_runs(self, own_peer: Callable[..., RunningPeer]) -> None:
        vast = own_peer("vast", "--boot-s", "600")
        instance = show(vast, rent(vast))
        assert (instance["actual_status"], instance["ssh_port"], instance["ports"]) == (None, 0, None)

    def test_takes_the_offer(self, vast: RunningPeer) -> None:
        offer = find(vast)[0]
        id = rent(vast, offer=offer)
        assert offer["id"] not in {other["id"] for other in find(vast)}
        again = vast.put(f"/api/v0/asks/{offer['id']}/", json={"image": "x"})
        assert (again.status_code, again.json()["error"]) == (410, "no_such_ask")
        vast.delete(f"/api/v0/instances/{id}/")
        assert offer["id"] in {other["id"] for other in find(vast)}

    def test_refuses_an_offer_that_is_gone(self, vast: RunningPeer) -> None:
        answer = vast.put("/api/v0/asks/12345/", json={"image": "x"})
        assert answer.status_code == 404
        assert "no_such_ask" in answer.json()["msg"]

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({}, "invalid_args"),
            ({"image": 5}, "invalid_args"),
            ({"image": "x", "price": 0}, "invalid_price"),
            ({"image": "x", "price": 500}, "invalid_price"),
            ({"image": "x", "disk": -1}, "invalid_args"),
            ({"image": "x", "disk": 1_000_000}, "invalid_args"),
            ({"image": "x", "runtype": "magic"}, "invalid_args"),
            ({"image": "x", "env": "-x A"}, "invalid_args"),
            ({"image": "x", "env": "-p 99999:99999"}, "invalid_args"),
            ({"image": "x", "env": "-e 'A"}, "invalid_args"),
        ],
    )
    def test_refuses_bad_requests(self, vast: RunningPeer, body: dict[str, Any], error: str) -> None:
        answer = vast.put(f"/api/v0/asks/{find(vast)[0]['id']}/", json=body)
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert vast.get("/api/v1/instances/").json()["total_instances"] == 0

    def test_needs_the_key(self, vast: RunningPeer) -> None:
        path = f"/api/v0/asks/{find(vast)[0]['id']}/"
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": KEY}):
            assert vast.put(path, json={"image": "x"}, headers=headers).status_code == 401
        assert vast.get("/api/v1/instances/", headers={}).status_code == 401


class TestBid:
    def test_a_low_bid_is_refused_and_leaves_a_stopped_instance(self, vast: RunningPeer) -> None:
        offer = find(vast, type="bid")[0]
        answer = vast.put(f"/api/v0/asks/{offer['id']}/", json={"image": "x", "price": offer["min_bid"] / 2})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_price")
        assert show(vast, answer.json()["new_contract"])["actual_status"] == "stopped"

    def test_is_outbid_when_the_lowest_bid_rises(self, vast: RunningPeer) -> None:
        offers = find(vast, type="bid")
        ids = [rent(vast, offer=offer, price=offer["min_bid"] * 1.0001) for offer in offers[:20]]
        safe = rent(vast, offer=offers[20])
        for _ in range(10):
            vast.tick(20)
        lost = [show(vast, id) for id in ids]
        lost = [instance for instance in lost if instance["cur_state"] == "stopped"]
        assert lost
        assert {instance["intended_status"] for instance in lost} == {"stopped"}
        assert show(vast, safe)["intended_status"] == "running"

    def test_an_instance_says_which_kind_it_is(self, vast: RunningPeer) -> None:
        offers = find(vast)
        assert show(vast, rent(vast, offer=offers[0]))["is_bid"] is False
        assert show(vast, rent(vast, offer=offers[1], price=10.0))["is_bid"] is True


class TestSteer:
    def test_stop_and_start(self, vast: RunningPeer) -> None:
        id = rent(vast)
        port = wait_running(vast, id)["ssh_port"]
        assert vast.put(f"/api/v0/instances/{id}/", json={"state": "stopped"}).json() == {"success": True}
        stopped = show(vast, id)
        assert (stopped["actual_status"], stopped["intended_status"]) == ("stopped", "stopped")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        vast.put(f"/api/v0/instances/{id}/", json={"state": "running"})
        wait_running(vast, id)

    def test_label(self, vast: RunningPeer) -> None:
        id = rent(vast)
        vast.put(f"/api/v0/instances/{id}/", json={"label": "other"})
        assert show(vast, id)["label"] == "other"

    def test_destroy_ends_it_for_good(self, vast: RunningPeer) -> None:
        id = rent(vast)
        wait_running(vast, id)
        assert vast.delete(f"/api/v0/instances/{id}/").json()["success"] is True
        again = vast.delete(f"/api/v0/instances/{id}/")
        assert (again.status_code, again.json()["error"]) == (404, "no_such_instance")
        assert vast.get("/api/v1/instances/").json()["instances"] == []

    def test_list_has_pages_of_25_and_filters(self, vast: RunningPeer) -> None:
        offers = find(vast)[:28]
        ids = [rent(vast, offer=offer, label=f"pod-{number % 2}") for number, offer in enumerate(offers)]
        first = vast.get("/api/v1/instances/", params={"limit": 100}).json()
        assert (first["instances_found"], first["total_instances"]) == (25, 28)
        assert first["label_counts"] == {"pod-0": 14, "pod-1": 14}
        rest = vast.get("/api/v1/instances/", params={"after_token": first["next_token"]}).json()
        assert rest["next_token"] is None
        assert [item["id"] for item in first["instances"] + rest["instances"]] == ids
        filters = json.dumps({"label": {"eq": "pod-1"}})
        assert vast.get("/api/v1/instances/", params={"select_filters": filters}).json()["total_instances"] == 14
        for bad in ({"after_token": "x"}, {"select_filters": '{"dph_total":{"gt":1}}'}, {"select_filters": "["}):
            assert vast.get("/api/v1/instances/", params=bad).status_code == 400

    @pytest.mark.parametrize(("event", "status"), [("fail", "offline"), ("exit", "exited"), ("preempt", "stopped")])
    def test_things_that_befall_it(self, vast: RunningPeer, event: str, status: str) -> None:
        id = rent(vast)
        wait_running(vast, id)
        assert vast.post(f"/sandbox/instances/{id}/{event}").status_code == 200
        assert show(vast, id)["actual_status"] == status

    def test_logs_come_by_a_file_that_appears_later(self, vast: RunningPeer) -> None:
        id = rent(vast)
        wait_running(vast, id)
        asked = vast.put(f"/api/v0/instances/request_logs/{id}", json={"tail": "5"}).json()
        first = requests.get(asked["result_url"], timeout=5)
        assert (first.status_code, "AccessDenied" in first.text) == (403, True)
        vast.wait(lambda: requests.get(asked["result_url"], timeout=5).ok)
        assert "sandbox workload" in requests.get(asked["result_url"], timeout=5).text


class TestMoney:
    def test_costs_run_while_it_runs_and_are_kept(self, vast: RunningPeer) -> None:
        id = rent(vast)
        wait_running(vast, id)
        vast.wait(lambda: cost(vast, id) > 0)
        vast.delete(f"/api/v0/instances/{id}/")
        final = cost(vast, id)
        assert final > 0
        assert cost(vast, id) == final
        days = json.dumps({"day": {"gte": 0, "lte": 9_999_999_999}})
        row = vast.get("/api/v0/charges/", params={"select_filters": days}).json()["results"][0]
        assert row["source"] == f"instance-{id}"
        assert row["amount"] == pytest.approx(sum(item["amount"] for item in row["items"]), abs=1e-6)

    def test_charges_come_by_pages_and_days(self, own_peer: Callable[..., RunningPeer]) -> None:
        vast = own_peer("vast")
        ids = [rent(vast) for _number in range(3)]
        for id in ids:
            charge = {"day": "2026-06-01", "usd": f"{id % 7 + 1}"}
            assert vast.post(f"/sandbox/instances/{id}/charge", json=charge).status_code == 200
        june = {"day": {"gte": 1_780_272_000, "lte": 1_780_358_399}}  # the first of June 2026
        asked: dict[str, Any] = {"select_filters": json.dumps(june), "limit": 2}
        first = vast.get("/api/v0/charges/", params=asked).json()
        second = vast.get("/api/v0/charges/", params={**asked, "after_token": first["next_token"]}).json()
        assert (first["count"], first["total"], second["count"], second["next_token"]) == (2, 3, 1, None)
        rows = first["results"] + second["results"]
        assert {row["source"]: row["amount"] for row in rows} == {f"instance-{id}": id % 7 + 1 for id in ids}
        volumes = {"select_filters": json.dumps({**june, "type": {"in": ["volume"]}})}
        assert vast.get("/api/v0/charges/", params=volumes).json()["results"] == []
        for wrong in ({"select_filters": "{}"}, {**asked, "after_token": "x"}, {"select_filters": "x"}):
            assert vast.get("/api/v0/charges/", params=wrong).status_code == 400

    def test_instances_and_their_costs_survive_a_restart(self, own_peer: Callable[..., RunningPeer]) -> None:
        first = own_peer("vast", "--boot-s", "0.1")
        id = rent(first, label="kept")
        port = wait_running(first, id)["ssh_port"]
        before = cost(first, id)
        first.stop()
        again = own_peer("vast", "--boot-s", "0.1")
        instance = show(again, id)
        assert (instance["label"], instance["actual_status"], instance["ssh_port"]) == ("kept", "running", port)
        assert cost(again, id) > before


def cost(vast: RunningPeer, id: int) -> float:
    rows = vast.get("/sandbox/instances").json()["instances"]
    return float(next(row["cost"] for row in rows if row["id"] == str(id)))


def test_strict_limits_refuse_hasty_callers(own_peer: Callable[..., RunningPeer]) -> None:
    vast = own_peer("vast", "--strict-limits")
    assert vast.post("/api/v0/bundles/", json={}).status_code == 200
    hasty = vast.post("/api/v0/bundles/", json={})
    assert hasty.status_code == 429
    assert "too frequent" in hasty.json()["detail"]
    assert "retry-after" not in hasty.headers
