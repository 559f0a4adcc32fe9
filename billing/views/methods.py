"""The page of saved cards. A card's number is typed into Stripe's own fields: it never comes to us."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.requests import Request
from billing import access, payment_methods
from billing.payments.base import ServiceDown
from billing.payments.services import STRIPE, is_configured
from lib.errors import Conflict
from lib.rate import limit


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# What Stripe asks for: https://docs.stripe.com/security/guide#content-security-policy. On this one page alone.
STRIPE_MAY: dict[str, Any] = {
    "script-src": [_origin(settings.STRIPE_JS_URL)],
    "frame-src": [_origin(settings.STRIPE_JS_URL), "https://hooks.stripe.com"],
    "connect-src": [_origin(settings.STRIPE_URL)],
}


@csp_update(STRIPE_MAY)  # type: ignore[arg-type]
@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    configured = is_configured(STRIPE)
    if configured and "setup_intent" in request.GET:  # back from Stripe or the bank: what they say is not believed
        limit(f"organisation:{organisation.pk}", "billing.cards", per_minute=20)
        with suppress(ServiceDown):  # the notification brings it
            payment_methods.refresh(organisation)
        return redirect("billing:methods")
    context = {
        "cards": payment_methods.cards_of(organisation),
        "configured": configured,
        "stripe_js": settings.STRIPE_JS_URL,
        "return_url": settings.PUBLIC_URL + reverse("billing:methods"),
    }
    return render(request, "billing/methods.html", context)


@require_POST
def choose_default(request: Request, card_id: str) -> HttpResponse:
    card = access.get_card(request.actor, card_id)
    _try(request, lambda: payment_methods.choose_default(card, request.actor), _("This card is the default now."))
    return redirect("billing:methods")


@require_POST
def remove(request: Request, card_id: str) -> HttpResponse:
    card = access.get_card(request.actor, card_id)
    _try(request, lambda: payment_methods.remove(card, request.actor), _("The card is forgotten."))
    return redirect("billing:methods")


def _try(request: Request, act: Callable[[], None], done: str) -> None:
    try:
        act()
    except Conflict as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, done)
