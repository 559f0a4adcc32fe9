"""The customer's own provider keys: tried, sealed, never shown, not removed while they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from accounts.models import Organisation
from lib.secrets import unseal
from marketplace.models import ProviderAccount
from marketplace.providers import wire
from pods.models import Payer, Pod, PodConfig
from pods.states import PodStatus
from tests.people import Person
from tests.pods.driving import Bench, age, deploy, drive, placement_of
from tests.pods.market import cheapest

Benches = Callable[..., Bench]
Configs = Callable[..., PodConfig]
ROUTE = "provider-accounts/"


@pytest.fixture
def key() -> str:
    return os.environ["PEER_KEY"]


def test_a_key_is_tried_sealed_and_shown_by_its_end_alone(
    owner: Person, bench: Benches, renter: Organisation, key: str
) -> None:
    bench("vast")
    made = owner.api("post", ROUTE, {"provider": "vast", "key": key})
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["key_hint"], body["name"], body["problem"]) == (key[-4:], "Vast.ai", "")
    account = ProviderAccount.objects.get()
    assert key.encode() not in bytes(account.sealed_key)
    assert unseal(bytes(account.sealed_key)) == key
    for route in (ROUTE, f"{ROUTE}{body['id']}"):
        assert key not in owner.api("get", route).content.decode()


def test_a_key_that_the_provider_refuses_is_not_kept(owner: Person, bench: Benches, renter: Organisation) -> None:
    bench("vast")
    answer = owner.api("post", ROUTE, {"provider": "vast", "key": "wrong-key-1234"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_key")
    assert "wrong-key-1234" not in answer.content.decode()
    assert not ProviderAccount.objects.exists()


def test_a_provider_that_does_not_answer_is_no_verdict_on_the_key(
    owner: Person, bench: Benches, renter: Organisation, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CALL_S", 0.5)
    bench("vast").fault("http_500", "/api/v1/instances")
    answer = owner.api("post", ROUTE, {"provider": "vast", "key": key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unreachable")


@pytest.mark.parametrize("provider", ["nowhere", "catalyst", "akash", "", "a\x00b"])
def test_keys_of_what_cannot_be_rented_are_refused(
    owner: Person, bench: Benches, renter: Organisation, provider: str
) -> None:
    bench("vast")
    bench("akash")
    answer = owner.api("post", ROUTE, {"provider": provider, "key": "12345678"})
    assert answer.status_code == 422
    assert "provider" in answer.json()["error"]["fields"]


def test_the_plan_limits_providers_and_not_keys_of_one(
    owner: Person, bench: Benches, renter: Organisation, key: str
) -> None:
    bench("vast")
    bench("runpod")
    assert owner.api("post", ROUTE, {"provider": "vast", "key": key}).status_code == 201
    assert owner.api("post", ROUTE, {"provider": "vast", "key": key, "name": "second"}).status_code == 201
    refused = owner.api("post", ROUTE, {"provider": "runpod", "key": key})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "plan_limit")


def test_a_pod_on_the_own_key_pays_nothing_here_and_holds_the_account(
    owner: Person, bench: Benches, config_of: Configs, key: str
) -> None:
    desk = bench("vast")
    account_id = owner.api("post", ROUTE, {"provider": "vast", "key": key}).json()["id"]
    account = ProviderAccount.objects.get()
    config = config_of(payer=Payer.OWN_KEY, provider_account=account)
    pod = drive(deploy(config, cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    assert placement_of(pod).provider_account_id == account.pk
    assert placement_of(pod).hold_id is None
    refused = owner.api("delete", f"{ROUTE}{account_id}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "account_in_use")
    owner.api("post", f"deployment/pods/{pod.public_id}/action", {"action": "terminate"})
    drive(pod, lambda row: placement_of(row).seen_gone == 1)
    age(pod, 5, "seen_gone_at")
    drive(pod, PodStatus.TERMINATED)
    assert desk.living() == []
    assert owner.api("delete", f"{ROUTE}{account_id}").status_code == 204
    assert owner.api("get", f"{ROUTE}{account_id}").status_code == 404
    account.refresh_from_db()
    assert bytes(account.sealed_key) == b"", "the key itself is gone"
    assert Pod.objects.get().provider_account_id == account.pk


def test_a_name_with_what_no_database_stores_is_refused(owner: Person, renter: Organisation) -> None:
    answer = owner.api("post", ROUTE, {"provider": "vast", "key": "12345678", "name": "a\x00"})
    assert answer.status_code == 422
    assert "name" in answer.json()["error"]["fields"]


def test_another_organisations_key_is_not_there(
    owner: Person, outsider: Person, bench: Benches, renter: Organisation, key: str
) -> None:
    bench("vast")
    account_id = owner.api("post", ROUTE, {"provider": "vast", "key": key}).json()["id"]
    assert outsider.api("get", f"{ROUTE}{account_id}").status_code == 404
    assert outsider.api("patch", f"{ROUTE}{account_id}", {"name": "mine"}).status_code == 404
    assert outsider.api("delete", f"{ROUTE}{account_id}").status_code == 404
    draft = {"name": "job", "image": "ubuntu:22.04", "payer": "own_key", "provider_account": account_id}
    assert outsider.api("post", "config/pods/", draft).status_code == 422
    assert outsider.api("get", ROUTE).json()["items"] == []
