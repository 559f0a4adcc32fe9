"""Sets `request.actor`: who a page's request is from, and in which organisation they work."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from accounts import actor as actors
from accounts import on_behalf
from accounts.actor import ANONYMOUS, Actor
from accounts.auth import first_organisation
from accounts.models import Organisation, User
from accounts.requests import Request

ORGANISATION_KEY = "organisation"


class ActorMiddleware:
    """The actor is found at its first use, so that pages which ask for nobody cost no query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        lazy = SimpleLazyObject(lambda: actor_of_session(request.user, request.session))
        cast(Request, request).actor = cast(Actor, lazy)
        # Reading the session makes an answer depend on the cookie: done only where there is one.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and isinstance(request.user, User):
            return self._in_their_terms(request, request.user)
        return self.get_response(request)

    def _in_their_terms(self, request: HttpRequest, person: User) -> HttpResponse:
        """Times in the person's zone; their language, unless this browser chose one."""
        if person.locale and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            translation.activate(person.locale)
            request.LANGUAGE_CODE = translation.get_language()
        try:
            zone = zoneinfo.ZoneInfo(person.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)


def actor_of_session(person: object, session: SessionBase) -> Actor:
    """The person in their chosen organisation; staff act for a customer only where they said so."""
    if not isinstance(person, User) or not person.is_active:
        return ANONYMOUS
    if customer := on_behalf.customer_of(session, person):
        return actors.staff(person, organisation_id=customer)
    value = session.get(ORGANISATION_KEY)
    return actors.user(person, organisation_id=first_organisation(person, UUID(hex=value) if value else None))


def choose_organisation(session: SessionBase, organisation: Organisation) -> None:
    session[ORGANISATION_KEY] = organisation.pk.hex
