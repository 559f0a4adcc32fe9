"""Renting at a provider: once for each key, never on other terms than asked, and gone only when the provider says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lib import http
from marketplace.providers import wire
from marketplace.providers.base import BadAnswer, LaunchRequest, NoFunds, OfferGone, Rejected, Unreachable
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from marketplace.providers.runpod.adapter import Adapter as RunPod
from marketplace.providers.vast import client as vast_client
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.marketplace.scripted import KEY, Scripted, scripted_provider

REQUEST = LaunchRequest(
    key="gpubroker-pod1-e1-a1",
    offer_ref="11684738",
    image="pytorch/pytorch:latest",
    command=["python", "train.py", "--name=a b"],
    env={"TOKEN": "it's $ecret", "MODE": "fast"},
    ports=[8000],
    disk_gb=20,
    gpu_name="RTX 4090",
    gpu_count=1,
    kind="on_demand",
    max_price_per_hour=Decimal("0.30"),
)
VAST_INSTANCE: dict[str, Any] = {
    "id": 501,
    "label": REQUEST.key,
    "actual_status": "running",
    "intended_status": "running",
    "cur_state": "running",
    "next_state": "running",
    "status_msg": "success,\nrunning",
    "dph_base": 0.25,
    "dph_total": 0.27,
    "is_bid": False,
    "ssh_host": "ssh4.vast.ai",
    "ssh_port": 20000,
    "public_ipaddr": " 203.0.113.7 ",
    "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40022"}], "8000/tcp": [{"HostPort": "40080"}], "x": []},
    "start_date": 1787000000.5,
}
POD: dict[str, Any] = {
    "id": "7h9k2m4n6p",
    "name": REQUEST.key,
    "status": "RUNNING",
    "cost": 0.25,
    "ssh": {
        "proxy": {"host": "ssh.runpod.io", "port": 22, "username": "7h9k2m4n6p-64411eb2", "command": "ssh …"},
        "direct": {"host": "195.26.233.3", "port": 34446, "username": "root", "command": "ssh …"},
    },
    "runtime": {
        "uptime": 3600,
        "ports": [
            {"private": 8000, "public": 34447, "type": "tcp", "ip": "195.26.233.3"},
            {"private": 9000, "public": None, "type": "tcp", "ip": None},
        ],
    },
    "createdAt": "2026-03-13T20:00:00Z",
    "startedAt": "2026-03-13T20:00:05Z",
}
MACHINE: dict[str, Any] = {
    "id": "0920582c7ff041399e34823a0be62549",
    "name": REQUEST.key,
    "status": "active",
    "ip": "198.51.100.2",
    "instance_type": {"price_cents_per_hour": 25},
}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(vast_client, "LOG_PAUSE_S", 0)
    with scripted_provider() as script:
        yield script


def vast(provider: Scripted, *listed: dict[str, Any], accepted: Any = None, **shown: Any) -> Vast:
    provider.say("GET", "/api/v1/instances/", {"instances": list(listed), "next_token": None})
    provider.say("PUT", "/api/v0/asks/", accepted or {"success": True, "new_contract": 501})
    provider.say("GET", "/api/v0/instances/501/", {"instances": {**VAST_INSTANCE, **shown}})
    provider.say("DELETE", "/api/v0/instances/501/", {"success": True})
    return Vast(provider.account())


def test_vast_rents_with_the_key_as_label(provider: Scripted) -> None:
    instance = vast(provider).create(REQUEST)
    (asked,) = provider.calls("PUT")
    assert asked.path == "/api/v0/asks/11684738/"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "image": "pytorch/pytorch:latest",
        "label": REQUEST.key,
        "disk": 20,
        "env": """-e 'TOKEN=it'"'"'s $ecret' -e MODE=fast -p 8000:8000""",
        "target_state": "running",
        "cancel_unavail": True,
        "runtype": "args",
        "args": ["python", "train.py", "--name=a b"],
    }
    assert (instance.ref, instance.key, instance.state) == ("501", REQUEST.key, "running")
    assert instance.price_per_hour == Decimal("0.25")
    assert (instance.ssh_host, instance.ssh_port) == ("ssh4.vast.ai", 20000)
    assert instance.ports == {22: "203.0.113.7:40022", 8000: "203.0.113.7:40080"}
    assert instance.started_at == datetime.fromtimestamp(1787000000.5, UTC)
    assert instance.message == "success, running"


def test_the_same_key_twice_is_one_instance(provider: Scripted) -> None:
    assert vast(provider, VAST_INSTANCE).create(REQUEST).ref == "501"
    assert provider.calls("PUT") == []


def test_a_bid_always_names_its_price(provider: Scripted) -> None:
    spot = replace(REQUEST, kind="spot", max_price_per_hour=Decimal("0.2"))
    assert vast(provider, is_bid=True, dph_base=0.2).create(spot).ref == "501"
    assert provider.calls("PUT")[0].body["price"] == 0.2


def test_a_bid_without_a_price_asks_nothing(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        vast(provider).create(replace(REQUEST, kind="spot", max_price_per_hour=None))
    assert provider.asked == []


def test_a_bid_that_became_on_demand_is_ended(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        vast(provider, is_bid=False).create(replace(REQUEST, kind="spot"))
    assert provider.calls("DELETE", "/api/v0/instances/501/")


def test_a_found_instance_on_other_terms_is_ended_too(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        vast(provider, VAST_INSTANCE).create(replace(REQUEST, kind="spot"))
    assert provider.calls("DELETE", "/api/v0/instances/501/")


def test_a_price_that_rose_is_not_taken(provider: Scripted) -> None:
    with pytest.raises(OfferGone, match="rose"):
        vast(provider, dph_base=0.31).create(REQUEST)
    assert provider.calls("DELETE")


def test_a_refusal_that_made_an_instance_all_the_same_is_cleaned_up(provider: Scripted) -> None:
    adapter = vast(provider)
    provider.answers.pop(("PUT", "/api/v0/asks/"))
    body = {"success": False, "error": "invalid_price", "msg": "bid is too low", "new_contract": 501}
    provider.say("PUT", "/api/v0/asks/", body, status=400)
    with pytest.raises(Rejected):
        adapter.create(REQUEST)
    assert provider.calls("DELETE", "/api/v0/instances/501/")


@pytest.mark.parametrize(
    ("status", "error", "raised"),
    [
        (404, "error 404/3603: no_such_ask Instance type by id 1 is not available.", OfferGone),
        (410, "no_such_ask", OfferGone),
        (400, "insufficient_credit", NoFunds),
        (200, "odd", BadAnswer),
    ],
)
def test_why_vast_did_not_rent(provider: Scripted, status: int, error: str, raised: type[Exception]) -> None:
    adapter = vast(provider)
    provider.answers.pop(("PUT", "/api/v0/asks/"))
    provider.say("PUT", "/api/v0/asks/", {"success": False, "error": error}, status=status)
    with pytest.raises(raised):
        adapter.create(REQUEST)


def test_all_pages_of_instances_are_read(provider: Scripted) -> None:
    for page, token in ((range(25), "a"), (range(25, 50), "b"), (range(50, 60), None)):
        rows = [{**VAST_INSTANCE, "id": number, "label": f"k{number}"} for number in page]
        provider.say("GET", "/api/v1/instances/", {"instances": rows, "next_token": token})
    adapter = Vast(provider.account())
    assert len(adapter.list_instances()) == 60
    assert ["after_token=b" in asked.query for asked in provider.asked] == [False, False, True]


def test_a_list_without_end_is_given_up(provider: Scripted) -> None:
    provider.say("GET", "/api/v1/instances/", {"instances": [], "next_token": "again"})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).list_instances()


@pytest.mark.parametrize("spoilt", [{"label": 7, "id": None}, {"id": -5}, {"dph_base": -1}, {"actual_status": 7}])
def test_an_unreadable_instance_is_never_taken_for_a_gone_one(provider: Scripted, spoilt: dict[str, Any]) -> None:
    provider.say(
        "GET", "/api/v1/instances/", {"instances": [VAST_INSTANCE, {**VAST_INSTANCE, **spoilt}], "next_token": None}
    )
    with pytest.raises(BadAnswer):
        Vast(provider.account()).list_instances()


def test_find_refuses_a_list_without_labels(provider: Scripted) -> None:
    row = {name: value for name, value in VAST_INSTANCE.items() if name != "label"}
    provider.say("GET", "/api/v1/instances/", {"instances": [row], "next_token": None})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).find(REQUEST.key)


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": 7}, []])
def test_an_answer_without_the_instance_is_not_gone(provider: Scripted, body: Any) -> None:
    provider.say("GET", "/api/v0/instances/501/", body)
    with pytest.raises(BadAnswer):
        Vast(provider.account()).get("501")


def test_a_list_that_does_not_say_whether_it_goes_on_is_refused(provider: Scripted) -> None:
    provider.say("GET", "/api/v1/instances/", {"instances": []})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).list_instances()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (None, "creating"),
        ("loading", "pulling"),
        ("running", "running"),
        ("stopped", "stopped"),
        ("exited", "exited"),
        ("offline", "failed"),
        ("a word of next year", "booting"),
    ],
)
def test_vast_states(provider: Scripted, status: str | None, state: str) -> None:
    assert vast(provider, actual_status=status).get("501").state == state


def test_an_outbid_instance_is_stopped_whatever_its_last_status(provider: Scripted) -> None:
    halted = dict.fromkeys(("cur_state", "intended_status", "next_state"), "stopped")
    assert vast(provider, **halted).get("501").state == "stopped"


GONE: list[tuple[type[Vast | RunPod | Lambda], str, Any]] = [
    (Vast, "/api/v0/instances/", {"success": False, "error": "no_such_instance", "msg": "Instance not found"}),
    (RunPod, "/v2/pods/", {"title": "Not Found", "status": 404, "detail": "pod not found"}),
    (Lambda, "/api/v1/instances/", {"error": {"code": "global/object-does-not-exist", "message": "no"}}),
]


@pytest.mark.parametrize(("adapter", "path", "words"), GONE)
def test_gone_is_what_the_provider_calls_gone(provider: Scripted, adapter: type[Vast], path: str, words: Any) -> None:
    provider.say("GET", path, words, status=404)
    provider.say("DELETE", path, words, status=404)
    provider.say("POST", "/api/v1/instance-operations/terminate", words, status=404)
    assert adapter(provider.account()).get("501").state == "gone"
    adapter(provider.account()).terminate("501")


@pytest.mark.parametrize(("adapter", "path", "words"), GONE)
@pytest.mark.parametrize("page", [b"<html>404</html>", b"", b"404 page not found", b"{}"])
def test_a_404_of_something_in_between_is_not_gone(
    provider: Scripted, adapter: type[Vast], path: str, words: Any, page: bytes
) -> None:
    provider.say("GET", path, page, status=404)
    provider.say("DELETE", path, page, status=404)
    provider.say("POST", "/api/v1/instance-operations/terminate", page, status=404)
    with pytest.raises(BadAnswer):
        adapter(provider.account()).get("501")
    with pytest.raises(BadAnswer):
        adapter(provider.account()).terminate("501")


@pytest.mark.parametrize("adapter", [Vast, RunPod, Lambda])
def test_a_reference_cannot_leave_its_place_in_the_path(provider: Scripted, adapter: type[Vast]) -> None:
    with pytest.raises(Unreachable):
        adapter(provider.account()).get("../../v0/users?x=1#y")
    assert ".." not in provider.asked[0].path.split("/")
    assert provider.asked[0].query == ""


def test_vast_logs_wait_for_the_file_and_resume_after_the_last_line(provider: Scripted) -> None:
    log = f"{provider.url}/instance_logs/x.log"
    provider.say("PUT", "/api/v0/instances/request_logs/501", {"success": True, "result_url": log})
    provider.say("GET", "/instance_logs/", b"<Error/>", status=403)
    provider.say("GET", "/instance_logs/", b"one\ntwo\ntwo\n")
    adapter = Vast(provider.account())
    first = adapter.logs("501")
    assert [line.text for line in first] == ["one", "two", "two"]
    assert "Authorization" not in provider.calls("GET", "/instance_logs/")[0].headers
    provider.answers[("GET", "/instance_logs/")].clear()
    provider.say("GET", "/instance_logs/", b"one\ntwo\ntwo\nthree\x1b[0m\n")
    assert [line.text for line in adapter.logs("501", after=first[-1].cursor)] == ["three [0m"]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://169.254.169.254/latest/meta-data",
            "https://evil.example/x",
            "file:///etc/passwd",
            "//x",
            "",
            "http://[",
        ),
        *("https://amazonaws.com.evil.example/x", "http://s3.amazonaws.com/x"),
    ],
)
def test_a_log_address_that_points_elsewhere_is_not_followed(provider: Scripted, address: str) -> None:
    provider.say("PUT", "/api/v0/instances/request_logs/501", {"success": True, "result_url": address})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).logs("501")


RUNPOD_REQUEST = replace(REQUEST, offer_ref="NVIDIA GeForce RTX 4090|COMMUNITY|2|US-KS-2", gpu_count=2)


def runpod(provider: Scripted, *pods: dict[str, Any], **changed: Any) -> RunPod:
    provider.say("GET", "/v2/pods", {"pods": list(pods)})
    provider.say("POST", "/v2/pods", {**POD, **changed}, status=201)
    provider.say("DELETE", "/v2/pods/7h9k2m4n6p", b"", status=204)
    return RunPod(provider.account())


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


def lambda_labs(provider: Scripted, *machines: dict[str, Any]) -> Lambda:
    provider.say("GET", "/api/v1/instances", {"data": list(machines)})
    provider.say("GET", f"/api/v1/instances/{MACHINE['id']}", {"data": MACHINE})
    provider.say("GET", "/api/v1/ssh-keys", {"data": [{"id": "1", "name": "laptop", "public_key": "ssh-ed25519 A"}]})
    provider.say("POST", "/api/v1/instance-operations/launch", {"data": {"instance_ids": [MACHINE["id"]]}})
    provider.say("POST", "/api/v1/instance-operations/terminate", {"data": {"terminated_instances": []}})
    return Lambda(provider.account())


LAMBDA_REQUEST = replace(REQUEST, offer_ref="gpu_1x_a10|us-west-1", gpu_name="A10 (24 GB PCIe)")


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


def test_a_hanging_provider_is_unreachable_within_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, provider: Scripted
) -> None:
    monkeypatch.setattr(wire, "CALL_S", 0.2)
    provider.say("GET", "/v2/pods", b"{", Content_Length="50")
    with pytest.raises(Unreachable):
        RunPod(provider.account()).list_instances()


def test_no_call_leaves_inside_a_transaction(monkeypatch: pytest.MonkeyPatch, provider: Scripted) -> None:
    def refuse() -> None:
        raise http.CalledInTransaction

    monkeypatch.setattr(http, "guard_no_transaction", refuse)
    adapter = RunPod(provider.account())
    for call in (adapter.list_instances, lambda: adapter.logs("p")):
        with pytest.raises(http.CalledInTransaction):
            call()
    assert provider.asked == []
