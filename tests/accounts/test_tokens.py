"""Access tokens for minutes, refresh tokens that work once; a copied one ends the sign-in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.test import Client
from freezegun import freeze_time

from accounts import tokens
from lib.clock import now
from tests.people import Caller, Person


@pytest.fixture
def pair(owner: Person) -> dict[str, Any]:
    return tokens.issue(owner.user)


def me(token: str) -> tuple[int, str]:
    answer = Caller().api("get", "auth/me", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def renew(token: str) -> tuple[int, dict[str, Any]]:
    answer = Caller().api("post", "auth/refresh", {"refresh": token})
    return answer.status_code, answer.json()


def test_refresh_renews_both(pair: dict[str, Any]) -> None:
    status, renewed = renew(pair["refresh"])
    assert status == 200
    assert me(renewed["access"]) == (200, "")
    assert renew(renewed["refresh"])[0] == 200


def test_reuse_ends_the_sign_in(pair: dict[str, Any]) -> None:
    _status, renewed = renew(pair["refresh"])
    status, answer = renew(pair["refresh"])
    assert (status, answer["error"]["code"]) == (401, "token_reused")
    assert me(renewed["access"]) == (401, "bad_token")
    assert renew(renewed["refresh"])[0] == 401


def test_access_token_expires(pair: dict[str, Any]) -> None:
    with freeze_time(now() + timedelta(minutes=16), ignore=["asyncio"]):
        assert me(pair["access"]) == (401, "token_expired")
        assert renew(pair["refresh"])[0] == 200


def test_refresh_token_expires(pair: dict[str, Any]) -> None:
    with freeze_time(now() + timedelta(days=31), ignore=["asyncio"]):
        assert renew(pair["refresh"])[0] == 401


def test_logout_ends_both(pair: dict[str, Any]) -> None:
    bearer = {"Authorization": f"Bearer {pair['access']}"}
    assert Caller().api("post", "auth/logout", headers=bearer).status_code == 204
    assert me(pair["access"])[0] == 401
    assert renew(pair["refresh"])[0] == 401


def test_kinds_are_not_mixed(pair: dict[str, Any]) -> None:
    assert me(pair["refresh"]) == (401, "bad_token")
    assert renew(pair["access"])[0] == 401


def test_forged_tokens_are_refused(pair: dict[str, Any]) -> None:
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    forged = jwt.encode(claims, "another key of enough length for HS256", algorithm="HS256")
    unsigned = jwt.encode(claims, None, algorithm="none")  # type: ignore[arg-type]
    for token in (forged, unsigned, "rubbish", ""):
        assert me(token)[0] == 401


def test_person_ends_a_sign_in_on_the_page(owner: Person, outsider: Person, pair: dict[str, Any]) -> None:
    sign_in = tokens.sign_in_of(pair["access"])
    address = f"/settings/security/sign-ins/{sign_in.public_id}/end/"
    assert outsider.client.post(address).status_code == 404
    assert me(pair["access"])[0] == 200
    owner.client.post(address)
    assert me(pair["access"])[0] == 401


def test_session_needs_the_csrf_token(owner: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = owner.client.cookies
    assert client.get("/api/v2/auth/me").status_code == 200
    refused = client.post("/api/v2/invitations/", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "csrf")


def test_wrong_token_is_refused_beside_a_good_session(owner: Person) -> None:
    assert owner.client.get("/api/v2/auth/me", headers={"Authorization": "Bearer rubbish"}).status_code == 401
    assert owner.client.get("/api/v2/auth/me", headers={"X-API-Key": "gbk_rubbish"}).status_code == 401


def test_organisation_is_chosen_by_header(owner: Person, outsider: Person) -> None:
    assert outsider.organisation is not None
    foreign = owner.api("get", "auth/me", headers={"X-Organisation": outsider.organisation.public_id})
    assert foreign.status_code == 404
    assert owner.api("get", "auth/me", headers={"X-Organisation": "org_rubbish"}).status_code == 404
