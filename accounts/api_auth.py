"""Routes of signing up, in and out by API. Each is rate limited, and tells nobody who has an account here."""

from __future__ import annotations

from typing import Any

from ninja import Router, Schema, Status
from pydantic import EmailStr, Field

from accounts import sign_in, sign_up, tokens
from accounts.access import permissions_of
from accounts.auth import BearerAuth
from accounts.models import Member, Organisation
from accounts.requests import Request
from lib.rate import limit

router = Router(tags=["auth"])

# A password is hashed, so its length is work that a stranger could make us do.
PASSWORD = Field(min_length=1, max_length=200)


class SignUpIn(Schema):
    email: EmailStr
    password: str = PASSWORD
    name: str = Field("", max_length=120)


class LoginIn(Schema):
    email: EmailStr
    password: str = PASSWORD


class MfaIn(Schema):
    mfa_token: str = Field(max_length=1000)
    code: str = Field(min_length=1, max_length=32)


class RefreshIn(Schema):
    refresh: str = Field(max_length=2000)


class EmailIn(Schema):
    email: EmailStr


class MailedKeyIn(Schema):
    key: str = Field(min_length=1, max_length=200)


class ResetIn(Schema):
    key: str = Field(min_length=1, max_length=200)
    password: str = PASSWORD


class Said(Schema):
    message: str


class TokensOut(Schema):
    """Tokens, or what is asked for next: `mfa_required` with the token for `auth/mfa`. `expires_in` is in seconds."""

    access: str | None = None
    refresh: str | None = None
    token_type: str | None = None
    expires_in: int
    mfa_required: bool = False
    mfa_token: str | None = None


class MeOrganisation(Schema):
    id: str
    name: str
    role: str | None


class MeOut(Schema):
    kind: str
    id: str
    email: str
    name: str
    locale: str
    time_zone: str
    is_staff: bool
    organisation: MeOrganisation | None
    permissions: list[str]


@router.post("auth/signup", auth=None, response={202: Said})
def sign_up_person(request: Request, body: SignUpIn) -> Status[dict[str, str]]:
    """A mail with a confirmation link follows. The answer is the same for an address that has an account."""
    limit(request, "signup", per_minute=10)
    sign_up.sign_up(request, email=body.email, password=body.password, name=body.name)
    return Status(202, {"message": sign_up.check_your_mail()})


@router.post("auth/verify-email", auth=None, response=Said)
def verify_email(request: Request, body: MailedKeyIn) -> dict[str, str]:
    """`key` is the last part of the link in the mail."""
    limit(request, "verify-email", per_minute=20)
    return {"message": sign_up.verify_email(request, key=body.key)}


@router.post("auth/verify-email/resend", auth=None, response={202: Said})
def resend_verification(request: Request, body: EmailIn) -> Status[dict[str, str]]:
    limit(request, "verify-email-resend", per_minute=5)
    sign_up.resend_verification(request, email=body.email)
    return Status(202, {"message": sign_up.check_your_mail()})


@router.post("auth/login", auth=None, response=TokensOut, exclude_none=True)
def log_in(request: Request, body: LoginIn) -> dict[str, Any]:
    return sign_in.sign_in(request, email=body.email, password=body.password)


@router.post("auth/mfa", auth=None, response=TokensOut, exclude_none=True)
def log_in_with_code(request: Request, body: MfaIn) -> dict[str, Any]:
    limit(request, "mfa", per_minute=20)
    return sign_in.finish_mfa(mfa_token=body.mfa_token, code=body.code)


@router.post("auth/refresh", auth=None, response=TokensOut, exclude_none=True)
def refresh_tokens(request: Request, body: RefreshIn) -> dict[str, Any]:
    """Both tokens anew. A refresh token works once; one that comes back ends the whole sign-in."""
    limit(request, "refresh", per_minute=60)
    return tokens.refresh(body.refresh)


@router.post("auth/logout", auth=BearerAuth(), response={204: None})
def log_out(request: Request) -> Status[None]:
    """End the sign-in of this access token: neither it nor its refresh token works any more."""
    token = request.headers["Authorization"].partition(" ")[2]
    tokens.end(tokens.sign_in_of(token))
    return Status(204, None)


@router.post("auth/password/reset", auth=None, response={202: Said})
def ask_for_reset(request: Request, body: EmailIn) -> Status[dict[str, str]]:
    limit(request, "password-reset", per_minute=5)
    sign_up.send_password_reset(request, email=body.email)
    return Status(202, {"message": sign_up.check_your_mail()})


@router.post("auth/password/reset/confirm", auth=None, response=Said)
def reset_password(request: Request, body: ResetIn) -> dict[str, str]:
    """`key` is the last part of the link in the mail. All sign-ins with the old password end."""
    limit(request, "password-reset", per_minute=5)
    return {"message": sign_up.reset_password(request, key=body.key, password=body.password)}


@router.get("auth/me", response=MeOut)
def read_me(request: Request) -> dict[str, Any]:
    """Who the caller is, in which organisation this request works, and what they may do there."""
    actor = request.actor
    person = actor.user
    assert person is not None  # every way in brings one
    organisation = Organisation.objects.filter(pk=actor.organisation_id).first() if actor.organisation_id else None
    member = Member.objects.filter(organisation=organisation, user=person).first() if organisation else None
    shown = None
    if organisation is not None:
        role = member.role if member else None
        shown = {"id": organisation.public_id, "name": organisation.name, "role": role}
    return {
        "kind": actor.kind,
        "id": person.public_id,
        "email": person.email,
        "name": person.name,
        "locale": person.locale,
        "time_zone": person.time_zone,
        "is_staff": person.is_staff,
        "organisation": shown,
        "permissions": sorted(permissions_of(actor, organisation.pk)) if organisation else [],
    }
