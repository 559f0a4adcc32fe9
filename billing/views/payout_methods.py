"""Setting up where an organisation is paid, on the page of earnings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import formats
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.models import Organisation
from accounts.requests import Request
from billing import access
from billing.forms.payouts import method_form
from billing.models import PayoutMethod
from billing.payments.base import ServiceDown
from billing.payouts import methods
from billing.views import earnings
from lib.errors import AppError
from lib.rate import limit

Kind = PayoutMethod.Kind


@require_POST
def add(request: Request, kind: str) -> HttpResponse:
    """PayPal, a bank account or a wallet by a form; Stripe by its own pages."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.payout_methods", per_minute=10)
    if kind == Kind.STRIPE:
        return _begin_stripe(request, organisation)
    form = method_form(organisation, kind, request.POST)

    def act() -> str:
        made = _adders(request, organisation)[kind](form.cleaned_data)
        return _("%(method)s is saved. It can be paid to from %(at)s.") % {
            "method": made,
            "at": formats.date_format(localtime(made.payable_from), "SHORT_DATETIME_FORMAT"),
        }

    return earnings.answer(request, organisation, form, act, **{f"{kind}_form": form})


@require_GET
def returned(request: Request) -> HttpResponse:
    """Back from Stripe: what the address says is not believed, Stripe is asked."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.payout_methods", per_minute=10)
    for method in methods.methods_of(organisation).filter(kind=Kind.STRIPE):
        with suppress(ServiceDown):  # its notification brings it
            methods.refresh_stripe(method, actor=request.actor)
    return redirect("billing:earnings")


@require_POST
def make_default(request: Request, way_id: str) -> HttpResponse:
    method = access.get_payout_method(request.actor, way_id)
    limit(f"organisation:{method.organisation_id}", "billing.payout_methods", per_minute=10)
    methods.make_default(method, actor=request.actor)
    messages.success(request, _("You are paid there from now on."))
    return redirect("billing:earnings")


@require_POST
def remove(request: Request, way_id: str) -> HttpResponse:
    method = access.get_payout_method(request.actor, way_id)
    limit(f"organisation:{method.organisation_id}", "billing.payout_methods", per_minute=10)
    methods.remove(method, actor=request.actor)
    messages.success(
        request,
        _("The method is removed. What waited to be paid to it is among your earnings again; what has left goes on."),
    )
    return redirect("billing:earnings")


def _adders(request: Request, organisation: Organisation) -> dict[str, Callable[[Any], PayoutMethod]]:
    actor = request.actor
    return {
        Kind.PAYPAL: lambda given: methods.add_paypal(organisation, **given, actor=actor),
        Kind.BANK: lambda given: methods.add_bank(organisation, **given, actor=actor),
        Kind.USDC: lambda given: methods.add_usdc(
            organisation,
            chain=given["chain"],
            wallet=access.get_linked_wallet(actor, given["wallet"]),
            actor=actor,
        ),
    }


def _begin_stripe(request: Request, organisation: Organisation) -> HttpResponse:
    back = settings.PUBLIC_URL + reverse("billing:earnings_stripe")
    try:
        url = methods.begin_stripe(
            organisation,
            email=require_person(request.actor).email,
            return_url=back,
            refresh_url=back,
            actor=request.actor,
        )
    except AppError as refusal:
        messages.error(request, refusal.message)
        return redirect("billing:earnings")
    return redirect(url)
