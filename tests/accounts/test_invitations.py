"""Inviting by mail: the link works once, for that address, and an account made with it needs no second mail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from freezegun import freeze_time

from accounts.models import AuditEntry, Invitation, Member, Organisation, User
from lib.clock import now
from tests.accounts.test_sign_up import link_in
from tests.people import PASSWORD, Caller, Person

GUEST = "guest@example.com"


def invite(person: Person, email: str = GUEST, role: str = "developer") -> Any:
    return person.api("post", "invitations/", {"email": email, "role": role})


@pytest.fixture
def link(owner: Person, mailoutbox: list[EmailMessage]) -> str:
    assert invite(owner).status_code == 201
    return link_in(mailoutbox.pop())


def test_mail_carries_the_link_and_the_row_its_hash(owner: Person, mailoutbox: list[EmailMessage]) -> None:
    answer = invite(owner, "Guest@Example.com")
    assert answer.json()["email"] == GUEST
    [mail] = mailoutbox
    assert mail.to == [GUEST]
    assert "Andes Vision" in mail.subject
    token = link_in(mail).rstrip("/").rpartition("/")[2]
    assert token not in str(Invitation.objects.get().__dict__)
    assert [row["email"] for row in owner.api("get", "invitations/").json()["items"]] == [GUEST]


def test_guest_signs_up_into_the_organisation(link: str, organisation: Organisation) -> None:
    guest = Caller()
    page = guest.client.get(link)
    assert "Andes Vision" in page.content.decode()
    answer = guest.client.post("/account/signup/", {"email": GUEST, "password1": PASSWORD})
    assert answer.status_code == 302
    assert guest.client.get("/settings/members/").status_code == 200, "signed in without a second mail"
    member = Member.objects.get(user__email=GUEST)
    assert (member.organisation, member.role) == (organisation, "developer")
    assert Organisation.objects.count() == 1, "no organisation of their own"
    assert AuditEntry.objects.filter(action="member.join").exists()


def test_signing_up_with_another_address_proves_the_invited_one(link: str, organisation: Organisation) -> None:
    guest = Caller()
    guest.client.get(link)
    guest.client.post("/account/signup/", {"email": "other@example.com", "password1": PASSWORD})
    assert Member.objects.filter(organisation=organisation, user__email=GUEST).exists()


def test_member_elsewhere_joins_too(link: str, organisation: Organisation, outsider: Person) -> None:
    User.objects.filter(pk=outsider.user.pk).update(email=GUEST)
    EmailAddress.objects.filter(user=outsider.user).update(email=GUEST)
    assert "Join" in outsider.client.get(link).content.decode()
    outsider.client.post(link)
    assert Member.objects.get(organisation=organisation, user=outsider.user).role == "developer"
    assert outsider.client.post(link).status_code == 404, "it works once"


def test_others_cannot_use_it(link: str, organisation: Organisation, outsider: Person) -> None:
    assert outsider.client.post(link).status_code == 403
    token = link.rstrip("/").rpartition("/")[2]
    assert outsider.api("post", "invitations/accept", {"token": token}).status_code == 403
    assert not Member.objects.filter(organisation=organisation, user=outsider.user).exists()


def test_revoked_and_old_links_lead_nowhere(link: str, owner: Person, outsider: Person) -> None:
    with freeze_time(now() + timedelta(days=8), ignore=["asyncio"]):
        assert Caller().client.get(link).status_code == 404
    row = Invitation.objects.get()
    assert outsider.api("delete", f"invitations/{row.public_id}").status_code == 404
    assert owner.api("delete", f"invitations/{row.public_id}").status_code == 204
    assert Caller().client.get(link).status_code == 404
    assert owner.api("delete", f"invitations/{row.public_id}").status_code == 409


def test_one_open_invitation_for_an_address(link: str, owner: Person, member: Person) -> None:
    again = invite(owner)
    assert again.status_code == 409
    assert "email" in again.json()["error"]["fields"]
    assert invite(owner, member.user.email).status_code == 409
    with freeze_time(now() + timedelta(days=8), ignore=["asyncio"]):
        renewed = owner.client.post("/settings/members/", {"email": GUEST, "role": "viewer"})
    assert renewed.status_code == 302


def test_who_may_invite(admin: Person, member: Person, viewer: Person) -> None:
    assert invite(member).status_code == 403
    assert invite(viewer).status_code == 403
    assert invite(admin, role="owner").status_code == 403
    assert invite(admin, role="emperor").status_code == 422
    assert invite(admin, "no address").status_code == 422
    assert invite(admin).status_code == 201


def test_page_shows_refusals_beside_the_field(owner: Person, member: Person) -> None:
    answer = owner.client.post("/settings/members/", {"email": member.user.email, "role": "viewer"})
    assert answer.status_code == 422
    assert 'id="id_email_error"' in answer.content.decode()
    assert "Already a member" in answer.content.decode()
