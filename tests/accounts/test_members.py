"""Members and their roles: nobody gives more than they have, and an organisation always keeps an owner."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from accounts import organisations
from accounts.models import AuditEntry, Member, Organisation
from accounts.roles import Role
from lib.errors import Conflict
from tests.people import Person, join, make_organisation


def membership(person: Person) -> Member:
    return Member.objects.get(user=person.user, organisation=person.organisation)


def route(person: Person, *more: str) -> str:
    assert person.organisation is not None
    return "/".join([f"organisations/{person.organisation.public_id}", *more])


def set_role(actor: Person, target: Person, role: str) -> Any:
    return actor.api("patch", route(target, "members", membership(target).public_id), {"role": role})


def test_members_are_listed(owner: Person, viewer: Person) -> None:
    items = viewer.api("get", route(viewer, "members")).json()["items"]
    assert {(item["email"], item["role"]) for item in items} == {
        (owner.user.email, "owner"),
        (viewer.user.email, "viewer"),
    }


def test_admin_changes_a_role(admin: Person, viewer: Person) -> None:
    assert set_role(admin, viewer, "developer").json()["role"] == "developer"
    entry = AuditEntry.objects.get(action="member.role")
    assert entry.data == {"from": "viewer", "to": "developer"}
    assert entry.actor_id == str(admin.user.pk)


def test_admin_makes_no_owner_and_touches_none(admin: Person, owner: Person, viewer: Person) -> None:
    assert set_role(admin, viewer, "owner").status_code == 403
    assert set_role(admin, owner, "viewer").status_code == 403
    assert admin.api("delete", route(owner, "members", membership(owner).public_id)).status_code == 403
    assert membership(owner).role == Role.OWNER


def test_unknown_role_is_refused(owner: Person, viewer: Person) -> None:
    answer = set_role(owner, viewer, "emperor")
    assert answer.status_code == 422
    assert "role" in answer.json()["error"]["fields"]


@pytest.mark.parametrize("person", ["member", "billing_member", "viewer"])
def test_others_change_nothing(person: str, owner: Person, request: pytest.FixtureRequest) -> None:
    actor = request.getfixturevalue(person)
    assert set_role(actor, owner, "viewer").status_code == 403
    assert actor.api("delete", route(owner, "members", membership(owner).public_id)).status_code == 403


def test_last_owner_stays(owner: Person) -> None:
    assert set_role(owner, owner, "admin").json()["error"]["code"] == "last_owner"
    assert owner.api("post", route(owner, "leave")).status_code == 409
    assert owner.api("delete", route(owner, "members", membership(owner).public_id)).status_code == 409
    assert membership(owner).role == Role.OWNER


def test_owner_leaves_when_there_is_another(owner: Person, viewer: Person) -> None:
    set_role(owner, viewer, "owner")
    assert owner.api("post", route(owner, "leave")).status_code == 204
    assert not Member.objects.filter(user=owner.user).exists()
    assert owner.api("get", route(owner, "members")).status_code == 404


def test_removed_member_sees_nothing_any_more(owner: Person, member: Person) -> None:
    assert owner.api("delete", route(member, "members", membership(member).public_id)).status_code == 204
    assert member.api("get", route(member)).status_code == 404
    assert member.client.get("/settings/members/").status_code == 404


def test_members_of_others_are_not_found_here(owner: Person, outsider: Person) -> None:
    theirs = membership(outsider).public_id
    assert owner.api("delete", route(owner, "members", theirs)).status_code == 404
    assert owner.api("patch", route(owner, "members", theirs), {"role": "viewer"}).status_code == 404


def test_renaming_is_for_owners(owner: Person, admin: Person) -> None:
    assert admin.api("patch", route(admin), {"name": "Ours now"}).status_code == 403
    assert owner.api("patch", route(owner), {"name": "Cóndor AI"}).json()["name"] == "Cóndor AI"
    assert owner.api("patch", route(owner), {"name": ""}).status_code == 422


def test_pages(owner: Person, viewer: Person) -> None:
    row = membership(viewer)
    page = owner.client.get("/settings/members/").content.decode()
    assert viewer.user.email in page
    owner.client.post(f"/settings/members/{row.public_id}/role/", {"role": "billing"})
    assert membership(viewer).role == Role.BILLING
    assert "Remove" in owner.client.get(f"/settings/members/{row.public_id}/remove/").content.decode()
    owner.client.post(f"/settings/members/{row.public_id}/remove/")
    assert not Member.objects.filter(pk=row.pk).exists()


def test_leaving_page_says_why_not(owner: Person) -> None:
    answer = owner.client.post("/settings/organisation/leave/")
    assert answer.status_code == 409
    assert "needs an owner" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_owners_cannot_leave_at_once() -> None:
    organisation = make_organisation("Two heads")
    people = [join(organisation, f"{n}@two.example", "owner") for n in range(2)]
    ready, refused = threading.Barrier(2), []

    def leave(person: Person) -> None:
        row = membership(person)
        ready.wait()
        try:
            organisations.leave_organisation(member=row, actor=person.actor)
        except Conflict as refusal:
            refused.append(refusal.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["last_owner"]
    assert Member.objects.filter(organisation=organisation).count() == 1
    assert Organisation.objects.get(pk=organisation.pk).audit_entries.filter(action="member.leave").count() == 1
