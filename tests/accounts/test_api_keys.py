"""API keys: shown once, never able to do more than who made them, gone when revoked, expired or their maker has left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from freezegun import freeze_time

from accounts import keys
from accounts.models import ApiKey, AuditEntry, Member
from lib.clock import now
from tests.people import Caller, Person

SEE = ["pods.see", "members.see"]


def make(person: Person, scopes: list[str] = SEE, **more: Any) -> Any:
    return person.api("post", "auth/api-keys", {"name": "ci", "scopes": scopes, **more})


def call(key: str, route: str = "auth/me", **headers: str) -> Any:
    return Caller().api("get", route, headers={"X-API-Key": key, **headers})


def test_key_is_shown_once_and_kept_as_a_hash(owner: Person) -> None:
    answer = make(owner)
    assert answer.status_code == 201
    key = answer.json()["key"]
    row = ApiKey.objects.get()
    assert key.startswith(row.prefix)
    assert key not in str(row.__dict__)
    listed = owner.api("get", "auth/api-keys").json()["items"]
    assert [item["name"] for item in listed] == ["ci"]
    assert "key" not in listed[0]
    assert AuditEntry.objects.filter(action="api_key.create", object_id=row.public_id).exists()


def test_key_works_in_its_organisation_with_its_scopes(owner: Person, outsider: Person) -> None:
    key = make(owner).json()["key"]
    me = call(key).json()
    assert owner.organisation is not None
    assert me["organisation"]["id"] == owner.organisation.public_id
    assert me["permissions"] == sorted(SEE)
    assert outsider.organisation is not None
    assert call(key, **{"X-Organisation": outsider.organisation.public_id}).status_code == 404
    assert call(key, "auth/api-keys").status_code == 403


def test_scopes_beyond_ones_own_are_refused(member: Person) -> None:
    answer = make(member, ["pods.run", "billing.manage"])
    assert answer.status_code == 422
    assert "scopes" in answer.json()["error"]["fields"]
    assert make(member, ["rubbish"]).status_code == 422
    assert make(member, []).status_code == 422
    assert not ApiKey.objects.exists()


def test_key_cannot_make_a_stronger_key(owner: Person) -> None:
    key = make(owner, ["keys.manage", "pods.see"]).json()["key"]
    body = {"name": "more", "scopes": ["pods.run"]}
    assert Caller().api("post", "auth/api-keys", body, {"X-API-Key": key}).status_code == 422


def test_viewer_makes_none(viewer: Person) -> None:
    assert make(viewer).status_code == 403


def test_revoked_key_is_refused(owner: Person) -> None:
    made = make(owner).json()
    assert owner.api("delete", f"auth/api-keys/{made['id']}").status_code == 204
    assert call(made["key"]).status_code == 401
    assert owner.api("delete", f"auth/api-keys/{made['id']}").status_code == 409


def test_others_cannot_revoke(owner: Person, outsider: Person, viewer: Person) -> None:
    made = make(owner).json()
    assert outsider.api("delete", f"auth/api-keys/{made['id']}").status_code == 404
    assert viewer.api("delete", f"auth/api-keys/{made['id']}").status_code == 403
    assert call(made["key"]).status_code == 200


def test_key_expires(owner: Person) -> None:
    made = make(owner, expires_at=(now() + timedelta(days=1)).isoformat()).json()
    assert call(made["key"]).status_code == 200
    with freeze_time(now() + timedelta(days=2), ignore=["asyncio"]):
        assert call(made["key"]).status_code == 401
    assert make(owner, expires_at=(now() - timedelta(days=1)).isoformat()).status_code == 422
    assert make(owner, expires_at="2999-01-01T00:00:00").status_code == 422, "a time without its zone"


def test_key_ends_with_its_makers_membership(member: Person) -> None:
    key = make(member).json()["key"]
    Member.objects.filter(user=member.user).delete()
    assert call(key, "organisations/").json()["items"] == []
    assert call(key).json()["permissions"] == []


def test_use_is_noted_at_most_each_minute(owner: Person) -> None:
    key = make(owner).json()["key"]
    call(key)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    call(key)
    assert ApiKey.objects.get().last_used_at == first
    with freeze_time(first + timedelta(seconds=61), ignore=["asyncio"]):
        call(key)
    assert ApiKey.objects.get().last_used_at == first + timedelta(seconds=61)


def test_page_shows_the_key_once(owner: Person) -> None:
    answer = owner.client.post("/settings/keys/", {"name": "laptop", "scopes": ["pods.see"], "days": "90"})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    row = ApiKey.objects.get()
    assert f"<code>{row.prefix}…</code>" in owner.client.get("/settings/keys/").content.decode()
    token = answer.context["token"]
    assert token in answer.content.decode()
    found = keys.find_key(token)
    assert found is not None
    assert found.expires_at is not None
    assert token not in owner.client.get("/settings/keys/").content.decode()


def test_page_revokes_after_asking(owner: Person) -> None:
    make(owner)
    row = ApiKey.objects.get()
    address = f"/settings/keys/{row.public_id}/revoke/"
    assert "Revoke the key ci?" in owner.client.get(address).content.decode()
    row.refresh_from_db()
    assert row.revoked_at is None
    owner.client.post(address)
    row.refresh_from_db()
    assert row.revoked_at is not None
