"""JWTs of programs: an access token for minutes, a refresh token that works once.

A refresh token that comes back a second time was copied by somebody: the whole sign-in ends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from accounts.models import ApiSignIn, User
from lib import secrets
from lib.clock import now
from lib.errors import AppError

ALGORITHM = "HS256"
ISSUER = "gpubroker"


class BadToken(AppError):
    status = 401
    code = "bad_token"


def issue(person: User) -> dict[str, Any]:
    """A new sign-in: `{"access", "refresh", "token_type", "expires_in"}`, times in seconds."""
    sign_in = ApiSignIn.objects.create(
        user=person,
        refresh_id=uuid4(),
        session_hash=person.get_session_auth_hash(),
        expires_at=now() + timedelta(seconds=settings.JWT_REFRESH_SECONDS),
    )
    return _pair(sign_in)


def refresh(token: str) -> dict[str, Any]:
    """A new pair for a refresh token, which then is spent. Raises BadToken."""
    claims = _read(token, "refresh")
    sign_in = _find_live(claims)
    renewed = uuid4()
    swapped = ApiSignIn.objects.filter(pk=sign_in.pk, refresh_id=UUID(claims["jti"]), revoked_at=None).update(
        refresh_id=renewed, refreshed_at=now()
    )
    if not swapped:
        end(sign_in)
        raise BadToken(_("This refresh token was used before. Sign in again."), code="token_reused")
    sign_in.refresh_id = renewed
    return _pair(sign_in)


def sign_in_of(access_token: str) -> ApiSignIn:
    """The live sign-in of an access token, with its person. Raises BadToken."""
    return _find_live(_read(access_token, "access"))


def end(sign_in: ApiSignIn) -> None:
    """From now on neither its access nor its refresh tokens work."""
    ApiSignIn.objects.filter(pk=sign_in.pk, revoked_at=None).update(revoked_at=now())


def _find_live(claims: dict[str, Any]) -> ApiSignIn:
    found = ApiSignIn.objects.select_related("user").filter(pk=UUID(claims["sid"]), revoked_at=None).first()
    if found is None or found.expires_at <= now() or not found.user.is_active:
        raise BadToken(_("This sign-in has ended. Sign in again."))
    if not secrets.same(found.session_hash, found.user.get_session_auth_hash()):
        raise BadToken(_("The password was changed. Sign in again."))
    return found


def _pair(sign_in: ApiSignIn) -> dict[str, Any]:
    access = _write("access", sign_in, seconds=settings.JWT_ACCESS_SECONDS, jti=uuid4())
    until_the_end = int((sign_in.expires_at - now()).total_seconds())
    return {
        "access": access,
        "refresh": _write("refresh", sign_in, seconds=until_the_end, jti=sign_in.refresh_id),
        "token_type": "Bearer",
        "expires_in": settings.JWT_ACCESS_SECONDS,
    }


def _write(kind: str, sign_in: ApiSignIn, *, seconds: int, jti: UUID) -> str:
    moment = now()
    claims = {
        "iss": ISSUER,
        "typ": kind,
        "sub": sign_in.user_id.hex,
        "sid": sign_in.pk.hex,
        "jti": jti.hex,
        "iat": moment,
        "exp": moment + timedelta(seconds=seconds),
    }
    return jwt.encode(claims, _key(), algorithm=ALGORITHM)


def _read(token: str, kind: str) -> dict[str, Any]:
    needed = ["exp", "iat", "sub", "sid", "jti", "typ"]
    try:
        claims = jwt.decode(token, _key(), algorithms=[ALGORITHM], issuer=ISSUER, options={"require": needed})
    except jwt.ExpiredSignatureError:
        raise BadToken(_("This token has expired."), code="token_expired") from None
    except jwt.PyJWTError:
        raise BadToken(_("This token is not one of ours.")) from None
    if claims["typ"] != kind:
        raise BadToken(_("This token is of another kind."))
    return claims


def _key() -> bytes:
    """Derived, so that no other signature made with SECRET_KEY can ever be taken for a token."""
    return salted_hmac("accounts.tokens", "signing key", algorithm="sha256").digest()
