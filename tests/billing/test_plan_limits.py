"""Members and API keys are counted against the plan where they are made, in pages and in the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage

from accounts.models import ApiKey, Invitation, Member, Organisation
from lib.clock import now
from tests.accounts.test_sign_up import link_in
from tests.people import PASSWORD, Caller, Person, make_user

pytestmark = pytest.mark.django_db


def invite(person: Person, email: str) -> Any:
    return person.api("post", "invitations/", {"email": email, "role": "viewer"})


def make_key(person: Person) -> Any:
    return person.api("post", "auth/api-keys", {"name": "ci", "scopes": ["pods.see"]})


def test_free_is_for_one_person(owner: Person) -> None:
    answer = invite(owner, "guest@example.com")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "plan_limit")
    assert "Free plan is reached (members: 1)" in answer.json()["error"]["message"]
    assert not Invitation.objects.exists()
    page = owner.client.post("/settings/members/", {"email": "guest@example.com", "role": "viewer"})
    assert page.status_code == 422
    assert "Free plan is reached" in page.content.decode()


@pytest.mark.usefixtures("team_plan")
def test_open_invitations_take_places_too(owner: Person, organisation: Organisation) -> None:
    for number in range(49):  # with the owner: all that Team has
        Invitation.objects.create(
            organisation=organisation,
            email=f"guest-{number}@example.com",
            role="viewer",
            token_hash=f"hash-{number}",
            expires_at=now() + timedelta(days=1),
        )
    assert invite(owner, "last@example.com").status_code == 403
    Invitation.objects.filter(email="guest-1@example.com").update(revoked_at=now())
    assert invite(owner, "last@example.com").status_code == 201


@pytest.mark.usefixtures("team_plan")
def test_nobody_joins_a_full_organisation(
    owner: Person, organisation: Organisation, mailoutbox: list[EmailMessage]
) -> None:
    assert invite(owner, "guest@example.com").status_code == 201
    link = link_in(mailoutbox.pop())
    organisation.subscriptions.update(status="ended")  # back on Free
    guest = Person(user=make_user("guest@example.com"))
    assert guest.client.post(link).status_code == 403
    assert Member.objects.filter(organisation=organisation).count() == 1
    assert Invitation.objects.get().accepted_at is None, "it works again when there is room"


@pytest.mark.usefixtures("team_plan")
def test_who_signs_up_for_a_full_organisation_gets_their_own(
    owner: Person, organisation: Organisation, mailoutbox: list[EmailMessage]
) -> None:
    assert invite(owner, "guest@example.com").status_code == 201
    guest = Caller()
    guest.client.get(link_in(mailoutbox.pop()))
    organisation.subscriptions.update(status="ended")
    guest.client.post("/account/signup/", {"email": "guest@example.com", "password1": PASSWORD})
    assert Member.objects.get(user__email="guest@example.com").organisation != organisation


def test_keys_that_work_are_counted(owner: Person) -> None:
    assert [make_key(owner).status_code for _ in range(3)] == [201, 201, 403]
    page = owner.client.post("/settings/keys/", {"name": "ci", "scopes": ["pods.see"], "days": "30"})
    assert "Free plan is reached (API keys: 2)" in page.content.decode()
    key = ApiKey.objects.order_by("pk")[0]
    ApiKey.objects.filter(pk=key.pk).update(expires_at=now() - timedelta(minutes=1))
    assert make_key(owner).status_code == 201, "one that has expired takes no place"
