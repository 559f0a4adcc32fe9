"""Signing up makes a person with an organisation of their own; the mailed link confirms the address."""

from __future__ import annotations

import re

import pytest
from django.core.mail import EmailMessage
from django.test import Client

from accounts.models import AuditEntry, Member, Organisation, User
from accounts.people import is_confirmed
from accounts.roles import Role
from tests.people import PASSWORD, Caller, Person

pytestmark = pytest.mark.django_db


def link_in(mail: EmailMessage) -> str:
    found = re.search(r"http://\S+", str(mail.body))
    assert found, mail.body
    return "/" + found.group().split("/", 3)[3]


def sign_up(client: Client, email: str = "ana@example.com", **more: str) -> None:
    answer = client.post("/account/signup/", {"email": email, "password1": PASSWORD, **more})
    assert answer.status_code == 302
    assert answer["Location"] == "/account/confirm-email/"


def test_new_person_owns_new_organisation(anonymous: Caller) -> None:
    sign_up(anonymous.client)
    person = User.objects.get(email="ana@example.com")
    member = Member.objects.select_related("organisation").get(user=person)
    assert member.role == Role.OWNER
    assert member.organisation.name == "ana"
    assert AuditEntry.objects.get(organisation=member.organisation).action == "organisation.create"


def test_link_confirms_and_signs_in_and_goes_on(anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    sign_up(anonymous.client, next="/settings/keys/")
    [mail] = mailoutbox
    assert mail.to == ["ana@example.com"]
    link = link_in(mail)
    assert anonymous.client.get(link).status_code == 200
    assert not is_confirmed(User.objects.get())
    answer = anonymous.client.post(link)
    assert answer["Location"] == "/settings/keys/"
    assert is_confirmed(User.objects.get())
    assert anonymous.client.get("/settings/").status_code == 200


def test_link_works_once(anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    sign_up(anonymous.client)
    link = link_in(mailoutbox[0])
    anonymous.client.post(link)
    elsewhere = Client()
    assert "does not work any more" in elsewhere.get(link).content.decode()
    assert elsewhere.post(link).status_code == 404


def test_no_way_in_before_the_address_is_confirmed(anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    sign_up(anonymous.client)
    other = Client()
    answer = other.post("/account/login/", {"login": "ana@example.com", "password": PASSWORD})
    assert answer["Location"] == "/account/confirm-email/"
    assert other.get("/settings/").status_code == 302


def test_known_address_answers_the_same(owner: Person, anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    sign_up(anonymous.client, email=owner.user.email)
    assert User.objects.count() == 1
    assert mailoutbox[0].subject == "You already have an account"


def test_foreign_next_is_not_followed(anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    sign_up(anonymous.client, next="https://evil.example/")
    answer = anonymous.client.post(link_in(mailoutbox[0]))
    assert answer["Location"] == "/dashboard/"


@pytest.mark.parametrize(
    ("fields", "beside"),
    [
        ({"email": "no address", "password1": PASSWORD}, "id_email_error"),
        ({"email": "ana@example.com", "password1": "short"}, "id_password1_error"),
        ({"email": "ana@example.com", "password1": ""}, "id_password1_error"),
    ],
)
def test_errors_stand_beside_the_field(anonymous: Caller, fields: dict[str, str], beside: str) -> None:
    answer = anonymous.client.post("/account/signup/", fields)
    page = answer.content.decode()
    assert f'id="{beside}"' in page
    assert "Please look at this again" in page
    assert not Organisation.objects.exists()


def test_by_api(anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    body = {"email": "Ana@Example.com", "password": PASSWORD, "name": "Ana"}
    assert anonymous.api("post", "auth/signup", body).status_code == 202
    assert anonymous.api("post", "auth/login", body).json()["error"]["code"] == "email_not_confirmed"
    key = link_in(mailoutbox[0]).rstrip("/").rpartition("/")[2]
    assert anonymous.api("post", "auth/verify-email", {"key": key}).status_code == 200
    assert "access" in anonymous.api("post", "auth/login", body).json()
    assert Organisation.objects.get().name == "Ana"


def test_api_tells_nobody_who_is_here(owner: Person, anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    new = anonymous.api("post", "auth/signup", {"email": "new@example.com", "password": PASSWORD})
    known = anonymous.api("post", "auth/signup", {"email": owner.user.email, "password": PASSWORD})
    assert (new.status_code, new.json()) == (known.status_code, known.json())
    assert [mail.subject for mail in mailoutbox] == ["Confirm your address", "You already have an account"]


def test_api_refuses_weak_password(anonymous: Caller) -> None:
    answer = anonymous.api("post", "auth/signup", {"email": "ana@example.com", "password": "password"})
    assert answer.status_code == 422
    assert "password" in answer.json()["error"]["fields"]
    assert not User.objects.exists()
