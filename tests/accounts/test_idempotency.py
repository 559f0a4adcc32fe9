"""A POST sent twice acts once and answers twice the same."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import path
from ninja import NinjaAPI, Schema, Status

from accounts.auth import api_auth
from accounts.idempotency import HEADER, LONGEST_KEY, idempotent, key_of
from accounts.models import IdempotencyKey
from accounts.requests import Request
from lib.clock import now
from lib.errors import AppError, Conflict
from tests.people import Person, join, make_organisation

api = NinjaAPI(auth=api_auth, urls_namespace="idempotency-test", title="test")
done: list[str] = []
gate = threading.Event()
entered = threading.Event()


class Thing(Schema):
    name: str


@api.exception_handler(AppError)
def answer(request: Request, error: AppError) -> Any:
    return api.create_response(request, error.as_dict(), status=error.status)


@api.post("things", response={201: Thing})
@idempotent
def make_thing(request: Request, body: Thing) -> Status[dict[str, Any]]:
    if body.name == "slow":
        entered.set()
        assert gate.wait(10)
    if body.name == "refused" and not done:
        done.append("a refusal")
        raise Conflict("Not now.")
    done.append(body.name)
    return Status(201, {"name": f"{body.name} {len(done)}"})


urlpatterns = [path("api/v2/", api.urls)]


@pytest.fixture(autouse=True)
def _own_routes(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    done.clear()
    gate.clear()
    entered.clear()


def post(person: Person, name: str = "one", key: str | None = "k1") -> Any:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return person.api("post", "things", {"name": name}, headers)


def test_second_time_answers_the_same(owner: Person) -> None:
    first, second = post(owner), post(owner)
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, {"name": "one 1"})
    assert done == ["one"]
    assert post(owner, key="k2").json() == {"name": "one 2"}


def test_other_body_is_a_conflict(owner: Person) -> None:
    post(owner)
    refused = post(owner, "two")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert done == ["one"]


def test_colleague_cannot_read_the_answer(owner: Person, member: Person) -> None:
    post(owner)
    assert post(member).json()["error"]["code"] == "idempotency_conflict"


def test_organisations_have_their_own_keys(owner: Person, outsider: Person) -> None:
    post(owner)
    assert post(outsider).json() == {"name": "one 2"}


@pytest.mark.parametrize("key", [None, "", " ", "x" * 117, "a\tb"])
def test_unusable_keys_are_refused(owner: Person, key: str | None) -> None:
    assert post(owner, key=key).status_code in {400, 422}
    assert done == []


def test_the_domain_keeps_a_key_whole() -> None:
    keys = {key_of(RequestFactory().get("/", headers={HEADER: "k" * (LONGEST_KEY - 1) + end})) for end in "ab"}
    assert {len(key) for key in keys} == {120}
    assert len(keys) == 2


def test_refusal_frees_the_key(owner: Person) -> None:
    assert post(owner, "refused").status_code == 409
    assert post(owner, "refused").status_code == 201
    assert not IdempotencyKey.objects.filter(status=None).exists()


def test_key_of_a_dead_process_is_free_again(owner: Person) -> None:
    post(owner)
    IdempotencyKey.objects.update(status=None, answer=None)
    assert post(owner).json()["error"]["code"] == "in_progress"
    IdempotencyKey.objects.update(created_at=now() - timedelta(minutes=3))
    assert post(owner).status_code == 201
    assert done == ["one", "one"]


def test_person_without_organisation(staff: Person) -> None:
    assert post(staff).status_code == 404


def test_header_is_documented() -> None:
    parameters = api.get_openapi_schema()["paths"]["/api/v2/things"]["post"]["parameters"]
    assert [(entry["name"], entry["in"], entry["required"]) for entry in parameters] == [
        ("Idempotency-Key", "header", True)
    ]


@pytest.mark.django_db(transaction=True)
def test_at_the_same_moment() -> None:
    owner = join(make_organisation("Busy"), "owner@busy.example", "owner")
    answers: list[int] = []
    headers = owner.headers | {"Idempotency-Key": "k1"}

    def first() -> None:
        answered = Client().post("/api/v2/things", {"name": "slow"}, "application/json", headers=headers)
        answers.append(answered.status_code)
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(10)
    assert post(owner, "slow").json()["error"]["code"] == "in_progress"
    gate.set()
    thread.join()
    assert answers == [201]
    assert post(owner, "slow").json() == {"name": "slow 1"}
