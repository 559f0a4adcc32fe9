"""In SANDBOX everybody finds the mail to their own addresses, before signing in too, and never another's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory

from notifications.mail import send
from notifications.mailbox import remember_address
from notifications.models import Mail
from tests.people import PASSWORD, Caller, Person


@pytest.fixture(autouse=True)
def _sandbox_mail(settings: Any, db: None) -> None:
    settings.EMAIL_BACKEND = "notifications.channels.email.EmailBackend"


def mailbox(client: Client) -> str:
    return client.get("/mailbox/").content.decode()


def sign_up(client: Client, email: str) -> None:
    client.post("/account/signup/", {"email": email, "password1": PASSWORD})


def test_newcomer_finds_the_link_and_comes_in() -> None:
    client = Client()
    sign_up(client, "ana@example.com")
    assert "/mailbox/" in client.get("/account/confirm-email/").content.decode()
    page = mailbox(client)
    found = re.search(r'href="http://testserver(/account/confirm-email/[^"]+)"', page)
    assert found, page
    client.post(found.group(1))
    assert client.get("/settings/").status_code == 200
    assert "Confirm your address" in mailbox(client)


def test_others_see_nothing_of_it() -> None:
    sign_up(Client(), "ana@example.com")
    stranger = Client()
    assert "confirm-email/" not in mailbox(stranger)
    sign_up(stranger, "ana@example.com")
    assert "confirm-email/" not in mailbox(stranger)


def test_typing_a_known_address_opens_no_mailbox(owner: Person) -> None:
    thief = Client(REMOTE_ADDR="203.0.113.9")
    thief.post("/account/password/reset/", {"email": owner.user.email})
    assert "password/reset/key" not in thief.post("/mailbox/asked/").content.decode()
    sign_up(thief, owner.user.email)
    assert Mail.objects.filter(to=owner.user.email).count() == 2
    assert "password/reset/key" not in mailbox(thief)
    assert owner.user.email not in mailbox(thief)


def test_first_browser_keeps_an_unconfirmed_address() -> None:
    """As at checkout, where an address is typed before there is an account with a password."""
    first, second = SessionStore(), SessionStore()
    for session in (first, second):
        request: Any = RequestFactory().get("/")
        request.session = session
        remember_address(request, "Ana@example.com")
        session.save()
    send("ana@example.com", "accounts/mail/invitation", {"url": "http://testserver/x/", "days": 7})
    pages = []
    for session in (first, second):
        client = Client()
        client.cookies["sessionid"] = session.session_key or ""
        pages.append(mailbox(client))
    assert ["http://testserver/x/" in page for page in pages] == [True, False]


def test_signed_in_person_sees_confirmed_addresses_only(owner: Person, outsider: Person) -> None:
    send(owner.user.email, "accounts/mail/invitation", {"url": "http://testserver/mine/", "days": 7})
    send(outsider.user.email, "accounts/mail/invitation", {"url": "http://testserver/theirs/", "days": 7})
    EmailAddress.objects.create(user=owner.user, email="victim@example.com", verified=False, primary=False)
    send("victim@example.com", "accounts/mail/invitation", {"url": "http://testserver/victim/", "days": 7})
    page = mailbox(owner.client)
    assert "/mine/" in page
    assert "/theirs/" not in page
    assert "/victim/" not in page


def test_mailbox_survives_signing_out() -> None:
    client = Client()
    sign_up(client, "ana@example.com")
    found = re.search(r'href="http://testserver(/account/confirm-email/[^"]+)"', mailbox(client))
    assert found
    client.post(found.group(1))
    client.post("/account/logout/")
    client.post("/account/password/reset/", {"email": "ana@example.com"})
    assert "password/reset/key" in mailbox(client)


def test_text_is_shown_not_run() -> None:
    client = Client()
    sign_up(client, "ana@example.com")
    Mail.objects.create(to="ana@example.com", sender="x", subject="<b>x</b>", text="<script>alert(1)</script>")
    page = mailbox(client)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<b>x</b>" not in page


def test_live_has_no_mailbox(settings: Any, owner: Person) -> None:
    settings.SANDBOX = False
    assert owner.client.get("/mailbox/").status_code == 404
    client = Caller().client
    sign_up(client, "ana@example.com")
    assert "sandbox_mailbox" not in client.session


def test_at_the_machine_the_asked_message_is_read_once(owner: Person) -> None:
    other_browser = Client()
    Mail.objects.create(to=owner.user.email, sender="x", subject="Something private", text="")
    other_browser.post("/account/password/reset/", {"email": owner.user.email})
    assert "Read that message" in mailbox(other_browser)
    assert "Something private" not in mailbox(other_browser)
    page = other_browser.post("/mailbox/asked/").content.decode()
    assert "password/reset/key" in page
    assert "Something private" not in page
    assert "password/reset/key" not in other_browser.post("/mailbox/asked/").content.decode()
    assert "Read that message" not in mailbox(other_browser)


def test_asking_tells_nothing_about_who_has_an_account(owner: Person) -> None:
    pages = []
    for email in (owner.user.email, "nobody@example.com"):
        client = Client()
        client.post("/account/password/reset/", {"email": email})
        pages.append("Read that message" in mailbox(client))
    assert pages == [True, True]


@pytest.mark.parametrize("setting", [{"PUBLIC_HOST": "gpubroker.example"}, {"BEHIND_PROXY": True}])
def test_what_others_can_reach_hands_out_nothing(setting: dict[str, Any], owner: Person, settings: Any) -> None:
    for name, value in setting.items():
        setattr(settings, name, value)
    client = Client()
    client.post("/account/password/reset/", {"email": owner.user.email})
    assert "Read that message" not in mailbox(client)


def test_nor_does_a_proxy_that_nobody_told_us_of(owner: Person) -> None:
    client = Client(headers={"X-Forwarded-For": "203.0.113.9"})
    client.post("/account/password/reset/", {"email": owner.user.email})
    assert "Read that message" not in mailbox(client)
