"""Signing in to pages and by API, with a second factor where there is one; guessing is slowed down."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client

from accounts.models import ApiSignIn, User
from tests.people import PASSWORD, Caller, Person


def log_in(caller: Caller, email: str, password: str = PASSWORD) -> tuple[int, dict[str, object]]:
    answer = caller.api("post", "auth/login", {"email": email, "password": password})
    return answer.status_code, answer.json()


def totp_code(secret: str, *, step: int = 0) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step)))


@pytest.fixture
def secret(owner: Person) -> str:
    """The owner has an authenticator app with this secret."""
    made = str(generate_totp_secret())
    TOTP.activate(owner.user, made)
    return made


def test_page_signs_in(owner: Person) -> None:
    client = Client()
    answer = client.post("/account/login/", {"login": owner.user.email, "password": PASSWORD})
    assert answer["Location"] == "/dashboard/"
    assert client.get("/settings/").status_code == 200


def test_page_refuses_wrong_password(owner: Person) -> None:
    client = Client()
    answer = client.post("/account/login/", {"login": owner.user.email, "password": "wrong"})
    assert "Please look at this again" in answer.content.decode()
    assert client.get("/settings/").status_code == 302


def test_signing_out_needs_a_post(owner: Person) -> None:
    owner.client.get("/account/logout/")
    assert owner.client.get("/settings/").status_code == 200
    owner.client.post("/account/logout/")
    assert owner.client.get("/settings/").status_code == 302


def test_page_asks_for_the_second_factor(owner: Person, secret: str) -> None:
    client = Client()
    answer = client.post("/account/login/", {"login": owner.user.email, "password": PASSWORD})
    assert answer["Location"] == "/account/2fa/authenticate/"
    assert client.get("/settings/").status_code == 302
    assert client.post("/account/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert client.post("/account/2fa/authenticate/", {"code": totp_code(secret)}).status_code == 302
    assert client.get("/settings/").status_code == 200


def test_secret_of_the_app_is_sealed(owner: Person, secret: str) -> None:
    assert secret not in str(Authenticator.objects.get(user=owner.user).data)


def test_api_answers_tokens(owner: Person, anonymous: Caller) -> None:
    status, answer = log_in(anonymous, owner.user.email.upper())
    assert status == 200
    assert set(answer) == {"access", "refresh", "token_type", "expires_in", "mfa_required"}
    me = anonymous.api("get", "auth/me", headers={"Authorization": f"Bearer {answer['access']}"}).json()
    assert me["email"] == owner.user.email
    assert me["organisation"]["role"] == "owner"
    assert "organisation.manage" in me["permissions"]


def test_api_answers_unknown_and_wrong_alike(owner: Person, anonymous: Caller) -> None:
    wrong = log_in(anonymous, owner.user.email, "wrong password")
    unknown = log_in(anonymous, "nobody@example.com", "wrong password")
    assert wrong == unknown
    assert wrong[0] == 401


def test_api_refuses_inactive_person(owner: Person, anonymous: Caller) -> None:
    User.objects.update(is_active=False)
    assert log_in(anonymous, owner.user.email)[0] == 401


def test_api_asks_for_the_second_factor(owner: Person, anonymous: Caller, secret: str) -> None:
    _status, answer = log_in(anonymous, owner.user.email)
    assert answer["mfa_required"] is True
    assert "access" not in answer
    token = answer["mfa_token"]
    wrong = anonymous.api("post", "auth/mfa", {"mfa_token": token, "code": "000000"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "wrong_code")
    right = anonymous.api("post", "auth/mfa", {"mfa_token": token, "code": totp_code(secret)})
    assert "access" in right.json()
    again = anonymous.api("post", "auth/mfa", {"mfa_token": token, "code": totp_code(secret)})
    assert again.status_code == 401, "a code works once"


def test_recovery_code_works_once(owner: Person, anonymous: Caller, secret: str) -> None:
    code = RecoveryCodes.activate(owner.user).get_unused_codes()[0]
    token = log_in(anonymous, owner.user.email)[1]["mfa_token"]
    first = anonymous.api("post", "auth/mfa", {"mfa_token": token, "code": code})
    second = anonymous.api("post", "auth/mfa", {"mfa_token": token, "code": code})
    assert (first.status_code, second.status_code) == (200, 401)


def test_forged_mfa_token_is_refused(anonymous: Caller) -> None:
    answer = anonymous.api("post", "auth/mfa", {"mfa_token": "forged", "code": "000000"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_token")


def test_guessing_is_stopped(owner: Person, anonymous: Caller) -> None:
    answers = [log_in(anonymous, owner.user.email, f"guess {n}")[0] for n in range(12)]
    assert 429 in answers
    assert log_in(anonymous, owner.user.email)[0] == 429, "the right password does not help during the lock-out"
    assert not ApiSignIn.objects.exists()


def test_guessing_on_the_page_is_stopped(owner: Person) -> None:
    client = Client()
    for n in range(12):
        answer = client.post("/account/login/", {"login": owner.user.email, "password": f"guess {n}"})
    assert answer.status_code in {200, 429}
    client.post("/account/login/", {"login": owner.user.email, "password": PASSWORD})
    assert client.get("/settings/").status_code == 302


def test_staff_login_is_for_staff(owner: Person, staff: Person, anonymous: Caller) -> None:
    route = "admin/public/admin/login"
    refused = anonymous.api("post", route, {"email": owner.user.email, "password": PASSWORD})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "wrong_password")
    admitted = anonymous.api("post", route, {"email": staff.user.email, "password": PASSWORD})
    assert "access" in admitted.json()


def test_admin_sends_to_the_common_sign_in(anonymous: Caller) -> None:
    answer = anonymous.client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/account/login/")
