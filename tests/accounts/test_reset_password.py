"""A forgotten password: the mailed link sets a new one, and every sign-in with the old one ends."""

from __future__ import annotations

import pytest
from django.core.mail import EmailMessage
from django.test import Client

from tests.accounts.test_sign_up import link_in
from tests.people import Caller, Person

NEW = "another long password"


def test_by_page(owner: Person, mailoutbox: list[EmailMessage]) -> None:
    client = Client()
    client.post("/account/password/reset/", {"email": owner.user.email})
    page = client.get(link_in(mailoutbox[0]), follow=True)
    answer = client.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert answer.status_code == 302
    assert client.post("/account/login/", {"login": owner.user.email, "password": NEW}).status_code == 302
    assert owner.client.get("/settings/").status_code == 302, "the old session has ended"


def test_by_api(owner: Person, anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    old_headers = owner.headers
    assert anonymous.api("post", "auth/password/reset", {"email": owner.user.email}).status_code == 202
    key = link_in(mailoutbox[0]).rstrip("/").rpartition("/")[2]
    weak = anonymous.api("post", "auth/password/reset/confirm", {"key": key, "password": "password"})
    assert weak.status_code == 422
    done = anonymous.api("post", "auth/password/reset/confirm", {"key": key, "password": NEW})
    assert done.status_code == 200
    again = anonymous.api("post", "auth/password/reset/confirm", {"key": key, "password": NEW})
    assert (again.status_code, again.json()["error"]["code"]) == (404, "bad_key")
    assert anonymous.api("post", "auth/login", {"email": owner.user.email, "password": NEW}).status_code == 200
    assert anonymous.api("get", "auth/me", headers=old_headers).status_code == 401


def test_unknown_address_answers_the_same(owner: Person, anonymous: Caller, mailoutbox: list[EmailMessage]) -> None:
    known = anonymous.api("post", "auth/password/reset", {"email": owner.user.email})
    unknown = anonymous.api("post", "auth/password/reset", {"email": "nobody@example.com"})
    assert known.json() == unknown.json()
    assert [mail.subject for mail in mailoutbox] == ["Choose a new password", "There is no account with this address"]


@pytest.mark.parametrize("key", ["x", "x-y", "0-0-0", "019ab3d2c0de7000a000000000000000-abc-def"])
@pytest.mark.django_db
def test_bad_keys_are_refused(key: str) -> None:
    answer = Caller().api("post", "auth/password/reset/confirm", {"key": key, "password": NEW})
    assert answer.status_code == 404
