"""The routes of pods: what each answers to whom, and what bad input gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Organisation
from pods import reports
from pods.models import MetricSample, Pod, PodConfig
from pods.seeds import seed
from pods.states import PodStatus
from tests.people import Caller, Person
from tests.pods.driving import Bench, age, deploy, drive, placement_of
from tests.pods.market import cheapest

Benches = Callable[..., Bench]
Configs = Callable[..., PodConfig]
DRAFT = {"name": "first", "image": "pytorch/pytorch:2.8.0", "gpu_query": "rtx 4090", "disk_gb": 20}


@pytest.fixture
def pod(bench: Benches, config_of: Configs) -> Pod:
    bench("vast")
    return deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))


def test_a_draft_is_made_read_changed_and_archived(owner: Person, renter: Organisation) -> None:
    made = owner.api("post", "config/pods/", DRAFT | {"env": {"TOKEN": "secret"}, "max_price_per_hour": "1.50"})
    assert made.status_code == 201, made.content
    body = made.json()
    assert body["id"].startswith("cfg_")
    assert (body["mode"], body["env_set"]) == ("SANDBOX", True)
    assert body["max_price_per_hour"] == {"amount": "1.500000", "currency": "USD"}
    assert "secret" not in made.content.decode()
    route = f"config/pods/{body['id']}"
    changed = owner.api("patch", route, {"disk_gb": 40, "max_price_per_hour": None}).json()
    assert (changed["disk_gb"], changed["name"], changed["max_price_per_hour"]) == (40, "first", None)
    assert [row["id"] for row in owner.api("get", "config/pods/").json()["items"]] == [body["id"]]
    assert owner.api("delete", route).status_code == 204
    assert owner.api("get", route).status_code == 404
    assert owner.api("get", "config/pods/").json() == {"items": [], "next": None}


def test_a_template_makes_a_draft(owner: Person, renter: Organisation) -> None:
    seed()
    made = owner.api("post", "config/pods/", {"name": "count", "template": "count", "gpu_query": "cpu"}).json()
    assert made["command"][0] == "catalyst-job:count"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "No Spaces"}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"image": "bad image"}, "image"),
        ({"gpu_query": "abacus 3000"}, "gpu_query"),
        ({"disk_gb": -1}, "disk_gb"),
        ({"disk_gb": 10**30}, "disk_gb"),
        ({"min_vram_gb": "NaN"}, "min_vram_gb"),
        ({"spend_cap": "Infinity"}, "spend_cap"),
        ({"spend_cap": "1e400"}, "spend_cap"),
        ({"kind": "free"}, "kind"),
        ({"payer": "own_key"}, "provider_account"),
        ({"payer": "own_key", "provider_account": "pac_nothing"}, "provider_account"),
        ({"template": "no-such"}, "template"),
        ({"template": "a\x00b"}, "template"),
        ({"offer": "off_nothing"}, "offer"),
        ({"region": "x" * 81}, "region"),
        ({"region": "a\x00"}, "region"),
        ({"gpu_query": "h100\x00"}, "gpu_query"),
        ({"name": "a\x00"}, "name"),
        ({"env": {"A": "\x00"}}, "env"),
        ({"ports": [10**12]}, "ports"),
        ({"command": ["x" * 1001]}, "command"),
    ],
)
def test_bad_drafts_are_refused_beside_the_field(
    owner: Person, renter: Organisation, change: dict[str, Any], field: str
) -> None:
    answer = owner.api("post", "config/pods/", DRAFT | change)
    assert answer.status_code == 422, answer.content
    assert field in answer.json()["error"]["fields"]


def test_from_estimate_to_receipt(owner: Person, bench: Benches, renter: Organisation) -> None:
    bench("vast")
    config = owner.api("post", "config/pods/", DRAFT).json()["id"]
    estimate = owner.api("post", "deployment/estimate", {"config": config}).json()
    assert estimate["provider"] == "vast"
    assert estimate["per_hour"]["currency"] == "USD"
    assert owner.api("post", "deployment/validate", {"config": config}).json() == {"valid": True, "problems": []}
    [listed] = owner.api("get", "deployment/configs").json()["items"]
    assert listed["deployable"]
    price = estimate["per_hour"]["amount"]
    body = {"config": config, "offer": estimate["offer"], "expected_price_per_hour": price}
    made = owner.api("post", "deployment/deploy", body, {"Idempotency-Key": "k1"})
    assert made.status_code == 201, made.content
    assert owner.api("post", "deployment/deploy", body, {"Idempotency-Key": "k1"}).json()["id"] == made.json()["id"]
    pod = Pod.objects.get()
    route = f"deployment/pods/{pod.public_id}"
    drive(pod, PodStatus.RUNNING)
    shown = owner.api("get", route).json()
    assert shown["status"] == "running"
    assert shown["placements"][0]["ssh"]["port"] > 0
    assert shown["placements"][0]["price_per_hour"]["amount"] == price
    assert owner.api("get", f"pods/{pod.public_id}/receipt").json()["error"]["code"] == "no_receipt"
    assert owner.api("post", f"{route}/action", {"action": "terminate"}).json()["desired_status"] == "terminated"
    drive(pod, lambda row: placement_of(row).seen_gone == 1)
    age(pod, 5, "seen_gone_at")
    drive(pod, PodStatus.TERMINATED)
    [receipt] = owner.api("get", f"pods/{pod.public_id}/receipt").json()["receipts"]
    assert receipt["facts"]["pod"] == pod.public_id
    assert receipt["signature"]["algorithm"] == "Ed25519"
    kinds = [row["kind"] for row in owner.api("get", f"pods/{pod.public_id}/events").json()["items"]]
    assert kinds[-1] == "deployed"
    assert owner.api("post", f"{route}/action", {"action": "start"}).status_code == 409


def test_activating_a_draft_twice_makes_one_pod(owner: Person, bench: Benches, renter: Organisation) -> None:
    bench("vast")
    config = owner.api("post", "config/pods/", DRAFT).json()["id"]
    first = owner.api("post", f"deployment/activate/{config}")
    again = owner.api("post", f"deployment/activate/{config}")
    assert first.status_code == again.status_code == 200
    assert first.json()["id"] == again.json()["id"]


def test_a_deployment_needs_a_key_and_says_what_is_wrong(owner: Person, bench: Benches, renter: Organisation) -> None:
    desk = bench("vast")
    config = owner.api("post", "config/pods/", DRAFT).json()["id"]
    missing = owner.api("post", "deployment/deploy", {"config": config})
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "idempotency_key_needed")
    long = owner.api("post", "deployment/deploy", {"config": config}, {"Idempotency-Key": "k" * 121})
    assert long.status_code == 422
    owner.api("patch", f"config/pods/{config}", {"max_price_per_hour": "0.01"})
    refused = owner.api("post", "deployment/deploy", {"config": config}, {"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "no_offer")
    problems = owner.api("post", "deployment/validate", {"config": config}).json()["problems"]
    assert [problem["code"] for problem in problems] == ["no_offer"]
    assert owner.api("post", "deployment/estimate", {"config": config}).status_code == 409
    assert desk.instances() == []


def test_lists_page_and_filter(owner: Person, pod: Pod) -> None:
    assert [row["id"] for row in owner.api("get", "deployment/pods").json()["items"]] == [pod.public_id]
    assert owner.api("get", "deployment/pods?status=running").json()["items"] == []
    for wrong in ("status=flying", "limit=0", "limit=9999", "cursor=zzz", "limit=x"):
        assert owner.api("get", f"deployment/pods?{wrong}").status_code == 422, wrong


def test_lines_and_samples_are_answered_oldest_first(owner: Person, pod: Pod) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    reports.store_logs(pod, 1, [(number, at, "stdout", f"step {number}") for number in range(1, 6)])
    MetricSample.objects.create(pod=pod, at=at, cpu_percent=5.0)
    page = owner.api("get", f"pods/{pod.public_id}/logs?limit=2").json()
    assert [row["text"] for row in page["items"]] == ["step 4", "step 5"]
    earlier = owner.api("get", f"pods/{pod.public_id}/logs?limit=9&before={page['next']}").json()
    assert [row["n"] for row in earlier["items"]] == [1, 2, 3]
    assert earlier["next"] is None
    assert owner.api("get", f"pods/{pod.public_id}/logs?before={10**40}").status_code == 200
    assert owner.api("get", f"pods/{pod.public_id}/logs?limit=0").status_code == 422
    [sample] = owner.api("get", f"pods/{pod.public_id}/metrics").json()["items"]
    assert sample["cpu_percent"] == 5.0


def test_limits_show_what_is_used(owner: Person, pod: Pod) -> None:
    limits = owner.api("get", "deployment/limits").json()
    assert limits["max_running_pods"] == {"used": 1, "limit": 2}
    assert limits["max_providers"] == {"used": 0, "limit": 1}


ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    ("get", "config/pods/{config}", {}),
    ("patch", "config/pods/{config}", {"disk_gb": 99}),
    ("delete", "config/pods/{config}", {}),
    ("post", "deployment/estimate", {"config": "{config}"}),
    ("post", "deployment/validate", {"config": "{config}"}),
    ("post", "deployment/deploy", {"config": "{config}"}),
    ("post", "deployment/activate/{config}", {}),
    ("get", "deployment/pods/{pod}", {}),
    ("post", "deployment/pods/{pod}/action", {"action": "terminate"}),
    ("get", "pods/{pod}/events", {}),
    ("get", "pods/{pod}/logs", {}),
    ("get", "pods/{pod}/metrics", {}),
    ("get", "pods/{pod}/receipt", {}),
]


def test_what_is_not_yours_does_not_exist(outsider: Person, anonymous: Caller, pod: Pod) -> None:
    assert pod.config is not None
    ids = {"config": pod.config.public_id, "pod": pod.public_id}
    before = _everything()
    for method, route, body in ROUTES:
        given = {name: value.format(**ids) if isinstance(value, str) else value for name, value in body.items()}
        sent = {"body": given or None, "headers": {"Idempotency-Key": "x"}}
        assert outsider.api(method, route.format(**ids), **sent).status_code == 404, route
        assert anonymous.api(method, route.format(**ids), **sent).status_code == 401, route
    assert _everything() == before


def _everything() -> list[Any]:
    pods = Pod.objects.values_list("pk", "desired_status", "version")
    return [*pods, *PodConfig.objects.values_list("pk", "disk_gb", "archived_at")]


def test_a_viewer_looks_and_touches_nothing(viewer: Person, pod: Pod) -> None:
    assert pod.config is not None
    assert viewer.api("get", f"deployment/pods/{pod.public_id}").status_code == 200
    for method, route, body in (
        ("post", f"deployment/pods/{pod.public_id}/action", {"action": "terminate"}),
        ("post", "config/pods/", DRAFT),
        ("post", f"deployment/activate/{pod.config.public_id}", None),
        ("delete", f"config/pods/{pod.config.public_id}", None),
        ("post", "provider-accounts/", {"provider": "vast", "key": "12345678"}),
    ):
        assert viewer.api(method, route, body).status_code == 403, route
    assert Pod.objects.count() == 1


def test_wrong_ids_and_actions_are_refused(owner: Person, pod: Pod) -> None:
    for wrong in ("pod_", "pod_zzz", pod.public_id.replace("pod_", "cfg_"), "pod_" + "0" * 26, "pod_" + "i" * 26):
        assert owner.api("get", f"deployment/pods/{wrong}").status_code == 404
    assert owner.api("post", f"deployment/pods/{pod.public_id}/action", {"action": "explode"}).status_code == 422
    drill = owner.api("post", f"deployment/pods/{pod.public_id}/action", {"action": "crash"})
    assert (drill.status_code, drill.json()["error"]["code"]) == (409, "wrong_status")
