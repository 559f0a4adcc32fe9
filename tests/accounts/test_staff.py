"""Seeding makes the staff and their groups once; the admin shows everything and gives nobody more than they have."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.management import call_command

from accounts import access
from accounts import actor as actors
from accounts.models import ApiKey, Organisation, User
from accounts.roles import StaffGroup
from tests.people import Person, make_user

OURS = {"accounts", "notifications"}


@pytest.fixture
def seeded(db: None, settings: Any, tmp_path: Any) -> str:
    """The address of the first member of staff; their password lies in a file."""
    settings.SECRETS_DIR = tmp_path
    call_command("seed", verbosity=0)
    return "staff@gpubroker.example"


def in_group(name: str) -> Person:
    user = make_user(f"{name}@gpubroker.example", is_staff=True)
    user.groups.add(Group.objects.get(name=name))
    return Person(user=user)


def test_staff_signs_in_with_the_kept_password(seeded: str, settings: Any) -> None:
    file = settings.SECRETS_DIR / "staff_password"
    assert file.stat().st_mode & 0o777 == 0o600
    person = User.objects.get(email=seeded)
    assert person.is_superuser
    assert person.check_password(file.read_text())


def test_seeding_again_changes_nothing(seeded: str, settings: Any) -> None:
    User.objects.filter(email=seeded).update(email="chief@gpubroker.example")
    person = User.objects.get(email="chief@gpubroker.example")
    person.set_password("changed since then")
    person.save()
    call_command("seed", verbosity=0)
    person.refresh_from_db()
    assert person.check_password("changed since then")
    assert not User.objects.filter(email=seeded).exists()


def test_groups_have_their_permissions(seeded: str) -> None:
    assert set(Group.objects.values_list("name", flat=True)) == set(StaffGroup.values)
    support = in_group("support").user
    assert support.has_perm("accounts.view_user")
    assert not support.has_perm("accounts.change_user")
    assert not support.has_perm("billing.view_account")
    assert in_group("administrator").user.has_perm("accounts.change_user")


@pytest.mark.parametrize("model", [m for m in admin.site._registry if m._meta.app_label in OURS])
def test_lists_open(model: Any, staff: Person, owner: Person) -> None:
    owner.api("post", "auth/api-keys", {"name": "ci", "scopes": ["pods.see"]})
    owner.api("post", "invitations/", {"email": "guest@example.com", "role": "viewer"})
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    assert staff.client.get(address, {"q": "a"}).status_code == 200
    row = model.objects.first()
    if row is not None:
        assert staff.client.get(f"{address}{row.pk}/change/").status_code == 200


def test_customers_do_not_come_in(owner: Person) -> None:
    assert owner.client.get("/admin/accounts/user/").status_code in {302, 403}


def test_administrator_cannot_become_superuser(seeded: str, staff_form: dict[str, Any]) -> None:
    administrator = in_group("administrator")
    address = f"/admin/accounts/user/{administrator.user.pk}/change/"
    administrator.client.post(address, staff_form | {"email": administrator.user.email, "is_superuser": "on"})
    administrator.user.refresh_from_db()
    assert not administrator.user.is_superuser
    chief = User.objects.get(email=seeded)
    change = administrator.client.post(
        f"/admin/accounts/user/{chief.pk}/password/", {"password1": "x", "password2": "x"}
    )
    assert change.status_code == 403


@pytest.fixture
def staff_form() -> dict[str, Any]:
    return {"name": "A", "locale": "", "time_zone": "UTC", "country": "", "is_active": "on"}


def test_new_person_gets_a_hashed_password(staff: Person) -> None:
    fields = {"email": "new@example.com", "password1": "a long new password", "password2": "a long new password"}
    answer = staff.client.post("/admin/accounts/user/add/", fields)
    assert answer.status_code == 302
    assert User.objects.get(email="new@example.com").check_password("a long new password")


def test_keys_are_revoked_through_the_domain(staff: Person, owner: Person, organisation: Organisation) -> None:
    owner.api("post", "auth/api-keys", {"name": "ci", "scopes": ["pods.see"]})
    key = ApiKey.objects.get()
    fields = {"action": "revoke", "_selected_action": str(key.pk)}
    staff.client.post("/admin/accounts/apikey/", fields)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert organisation.audit_entries.get(action="api_key.revoke").actor_kind == "staff"


def test_renaming_stands_in_the_audit_log(staff: Person, organisation: Organisation) -> None:
    fields = {"name": "Renamed", "country": "", "tax_id": "", "archived_at_0": "", "archived_at_1": ""}
    management = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    answer = staff.client.post(f"/admin/accounts/organisation/{organisation.pk}/change/", fields | management)
    assert answer.status_code == 302
    assert organisation.audit_entries.get(action="organisation.edit").data == {"fields": ["name"]}


@pytest.mark.parametrize(("group", "billing"), [("support", 403), ("finance", 200)])
def test_who_works_for_a_customer_reads_that_one_as_their_group_may(
    seeded: str, owner: Person, outsider: Person, group: str, billing: int
) -> None:
    assert owner.organisation is not None
    assert outsider.organisation is not None
    person = in_group(group)
    person.client.post("/staff/act-for/", {"organisation": owner.organisation.public_id})
    assert person.client.get("/billing/").status_code == billing
    assert person.client.get("/settings/members/").status_code == 200
    working = actors.staff(person.user, organisation_id=owner.organisation.pk)
    assert access.permissions_of(working, owner.organisation.pk)
    assert not access.permissions_of(working, outsider.organisation.pk)


def test_what_an_admin_page_hides_cannot_be_read_by_filters(staff: Person) -> None:
    """Letter by letter: whether a mail's text begins so."""
    assert staff.client.get("/admin/notifications/mail/?status=kept").status_code == 200
    assert staff.client.get("/admin/notifications/mail/?text__startswith=a").status_code == 400
    assert staff.client.get("/admin/accounts/apikey/?secret_hash__startswith=a").status_code == 400
