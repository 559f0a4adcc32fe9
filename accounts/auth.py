"""Who calls the API: a bearer token, an API key, or the session of a page (then with its CSRF token).

What a request brings is all that counts: a wrong token is refused even where a session would do.
"""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja.security import APIKeyCookie, APIKeyHeader, HttpBearer
from ninja.utils import check_csrf

from accounts import actor as actors
from accounts import keys, tokens
from accounts.actor import Actor
from accounts.calls import count_call
from accounts.models import Member, User
from accounts.requests import Request
from lib.errors import Forbidden, NotFound
from lib.ids import decode_id

KEY_HEADER = "X-API-Key"
ORGANISATION_HEADER = "X-Organisation"


class BearerAuth(HttpBearer):
    """`Authorization: Bearer <access token>`, with `X-Organisation` where the person has several."""

    def authenticate(self, request: HttpRequest, token: str) -> Actor:
        person = tokens.sign_in_of(token).user
        return _admit(request, actors.user(person, organisation_id=_chosen_organisation(request, person)))


class KeyAuth(APIKeyHeader):
    """`X-API-Key: gbk_…`: works in the key's own organisation only."""

    param_name = KEY_HEADER

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor | None:
        found = keys.find_key(key) if key else None
        if found is None:
            return None
        wanted = request.headers.get(ORGANISATION_HEADER)
        if wanted and decode_id("org", wanted) != found.organisation_id:
            raise NotFound(_("This key belongs to another organisation."))
        return _admit(request, actors.api_key(found))


class SessionAuth(APIKeyCookie):
    """The session of a signed-in page. Changing requests need the CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Actor | None:
        brought_other = "Authorization" in request.headers or KEY_HEADER in request.headers
        if brought_other or self.param_name not in request.COOKIES:
            return None
        return self.authenticate(request, None)

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor | None:
        person = request.user
        if not isinstance(person, User):
            return None
        if check_csrf(request):
            raise Forbidden(_("The CSRF token is missing or wrong."), code="csrf")
        if ORGANISATION_HEADER not in request.headers:
            return actor_of(request)
        return _admit(request, actors.user(person, organisation_id=_chosen_organisation(request, person)))


api_auth = [BearerAuth(), KeyAuth(), SessionAuth()]


def actor_of_token(token: str) -> Actor | None:
    """The actor of an access token or an API key, as sockets get it in their first message. None when it is no good."""
    if token.startswith(f"{keys.PREFIX}_"):
        found = keys.find_key(token)
        return actors.api_key(found) if found else None
    try:
        person = tokens.sign_in_of(token).user
    except tokens.BadToken:
        return None
    return actors.user(person, organisation_id=first_organisation(person))


def first_organisation(person: User, preferred: UUID | None = None) -> UUID | None:
    """The preferred organisation when the person is a member of it, else the one they joined first."""
    joined = Member.objects.filter(user=person, organisation__archived_at=None).order_by("joined_at", "pk")
    own = list(joined.values_list("organisation_id", flat=True))
    return preferred if preferred in own else next(iter(own), None)


def _chosen_organisation(request: HttpRequest, person: User) -> UUID | None:
    wanted = request.headers.get(ORGANISATION_HEADER)
    if not wanted:
        return first_organisation(person)
    organisation_id = decode_id("org", wanted)
    if first_organisation(person, organisation_id) != organisation_id:
        raise NotFound(_("This does not exist, or it is not yours."))
    return organisation_id


def actor_of(request: HttpRequest) -> Actor:
    return cast(Request, request).actor


def _admit(request: HttpRequest, actor: Actor) -> Actor:
    cast(Request, request).actor = actor
    if actor.organisation_id:
        count_call(actor.organisation_id)
    return actor
