"""What every page's frame shows: mode, theme, navigation, the person's organisations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from accounts.actor import ANONYMOUS, Actor
from accounts.models import Organisation
from config.appearance import Theme, theme_of
from notifications.inbox import unread_count


@dataclass(frozen=True, slots=True)
class Link:
    label: StrOrPromise
    url: str
    current: bool = False


Place = tuple[StrOrPromise, str]
EVERYBODY: tuple[Place, ...] = (
    (_("Market"), "marketplace:market"),
    (_("GPUs"), "marketplace:gpus"),
    (_("Providers"), "marketplace:providers"),
)
VISITORS: tuple[Place, ...] = ((_("Plans"), "enrollment:plans"),)
CUSTOMERS: tuple[Place, ...] = (
    (_("Dashboard"), "console:dashboard"),
    (_("Market"), "marketplace:market"),
    (_("Pods"), "console:pods"),
    (_("Nodes"), "console:nodes"),
    (_("Billing"), "billing:home"),
)
STAFF: tuple[Place, ...] = ((_("Staff"), "console:staff"),)
PERSON: tuple[Place, ...] = (
    (_("Account"), "accounts:account"),
    (_("Organisation"), "accounts:organisation"),
    (_("API keys"), "accounts:api-keys"),
)
FOOT: tuple[Place, ...] = (
    (_("GPU models"), "marketplace:gpus"),
    (_("Provider freshness"), "marketplace:providers"),
    (_("Plans"), "enrollment:plans"),
    (_("Terms"), "enrollment:terms"),
    (_("Privacy"), "enrollment:privacy"),
    (_("Cookies"), "enrollment:cookies"),
)


def page(request: HttpRequest) -> dict[str, Any]:
    actor: Actor = getattr(request, "actor", ANONYMOUS)
    return {
        "sandbox": settings.SANDBOX,
        "mode": settings.MODE,
        "theme": theme_of(request).value,
        "themes": Theme,
        "languages": settings.LANGUAGES,
        "nav": _links(request, _places(request, actor)),
        "foot_links": _links(request, FOOT),
        "person_links": _links(request, PERSON) if actor.user else [],
        "organisations": SimpleLazyObject(lambda: _organisations(actor)),
        "organisation": SimpleLazyObject(lambda: _current(actor)),
        "switch_url": _url("accounts:switch-organisation"),
        "inbox_url": _url("notifications:inbox"),
        "unread": cache(lambda: unread_count(actor.user) if actor.user else 0),
        "acting": actor.kind == "staff",
    }


def _places(request: HttpRequest, actor: Actor) -> tuple[Place, ...]:
    if actor.user is None:
        return EVERYBODY + VISITORS
    return CUSTOMERS + (STAFF if actor.user.is_staff else ())


def _links(request: HttpRequest, places: tuple[Place, ...]) -> list[Link]:
    """The places that this installation has; the current one is the one whose address the page's address begins with."""
    found = [(label, url) for label, name in places if (url := _url(name))]
    return [Link(label, url, request.path.startswith(url)) for label, url in found]


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _organisations(actor: Actor) -> list[Organisation]:
    if actor.user is None:
        return []
    return list(Organisation.objects.filter(members=actor.user, archived_at=None).order_by("name"))


def _current(actor: Actor) -> Organisation | None:
    if actor.organisation_id is None:
        return None
    return Organisation.objects.filter(pk=actor.organisation_id).first()
