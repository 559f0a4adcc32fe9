"""Signing in with a password, and a second factor where there is one, for programs. Pages use allauth's own views."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification import send_verification_email_for_user
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.utils import is_mfa_enabled
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts import tokens
from accounts.models import User
from accounts.people import is_confirmed
from lib import secrets
from lib.errors import AppError, Forbidden, TooMany
from lib.rate import limit

MFA_SALT = "accounts.mfa"
MFA_SECONDS = 300


class WrongPassword(AppError):
    """The same whether the address is known or not."""

    status = 401
    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__(_("The address or the password is wrong."))


def sign_in(request: HttpRequest, *, email: str, password: str) -> dict[str, Any]:
    """Tokens; or `{"mfa_required": true, "mfa_token"}` for `auth/mfa`. Raises WrongPassword, Forbidden, TooMany."""
    return _let_in(_check_password(request, email, password), request)


def sign_in_staff(request: HttpRequest, *, email: str, password: str) -> dict[str, Any]:
    """As `sign_in`, for staff only: customers get the answer of a wrong password."""
    person = _check_password(request, email, password)
    if not person.is_staff:
        raise WrongPassword
    return _let_in(person, request)


def finish_mfa(*, mfa_token: str, code: str) -> dict[str, Any]:
    """Tokens for the short-lived token of `sign_in` and a code of the app, or a recovery code."""
    person = _read_mfa_token(mfa_token)
    limit(person.pk.hex, "mfa", per_minute=10)
    # allauth's form knows both kinds of code, spends a recovery code, and limits guesses.
    form = AuthenticateForm({"code": code}, user=person)
    if not form.is_valid():
        raise AppError(_("This code is wrong."), code="wrong_code", status=401)
    form.authenticator.record_usage()
    return tokens.issue(person)


def _check_password(request: HttpRequest, email: str, password: str) -> User:
    limit(request, "login", per_minute=30)
    try:
        person: User | None = get_adapter(request).authenticate(request, email=email.lower(), password=password)
    except ValidationError as refused:
        # allauth counts failures for each address; this is how it says that there were too many.
        raise TooMany(refused.messages[0], retry_after_s=300) from None
    if person is None or not person.is_active:
        raise WrongPassword
    return person


def _let_in(person: User, request: HttpRequest) -> dict[str, Any]:
    if not is_confirmed(person):
        send_verification_email_for_user(request, person)
        message = _("Confirm your address first: we have sent you an email.")
        raise Forbidden(message, code="email_not_confirmed")
    if is_mfa_enabled(person):
        return {"mfa_required": True, "mfa_token": _make_mfa_token(person), "expires_in": MFA_SECONDS}
    return tokens.issue(person)


def _make_mfa_token(person: User) -> str:
    return signing.dumps({"user": person.pk.hex, "hash": person.get_session_auth_hash()[:16]}, salt=MFA_SALT)


def _read_mfa_token(mfa_token: str) -> User:
    try:
        claims = signing.loads(mfa_token, salt=MFA_SALT, max_age=MFA_SECONDS)
    except signing.BadSignature:
        raise tokens.BadToken(_("This token is no longer valid. Sign in again.")) from None
    person = User.objects.filter(pk=claims["user"], is_active=True).first()
    if person is None or not secrets.same(claims["hash"], person.get_session_auth_hash()[:16]):
        raise tokens.BadToken(_("This token is no longer valid. Sign in again."))
    return person
