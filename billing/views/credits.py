"""The page of compute credits: what there is, until when, how long it lasts, and handing it on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import Organisation
from accounts.requests import Request
from billing import access, credits, lots, wallet
from billing.forms.payments import HandOnForm
from lib.clock import now
from lib.errors import AppError
from lib.rate import limit


@require_http_methods(["GET", "POST"])
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    form = HandOnForm(request.POST or None, initial={"token": uuid4().hex})
    if request.method == "POST":
        organisation = access.organisation_to_pay_for(request.actor)
        limit(f"organisation:{organisation.pk}", "credits.transfer", per_minute=20)
        if form.is_valid() and _hand_on(request, organisation, form):
            return redirect("billing:credits")
    context = {"form": form, "lots": lots.open_lots(organisation), **_balance(organisation)}
    return render(request, "billing/credits.html", context, status=422 if form.errors else 200)


def _hand_on(request: Request, organisation: Organisation, form: HandOnForm) -> bool:
    data = form.cleaned_data
    try:
        receiver = credits.hand_on(
            sender=organisation,
            to=data["to"],
            amount=data["amount"],
            actor=request.actor,
            key=f"page-{data['token']}",
        )
    except AppError as refusal:
        for field, texts in (refusal.fields or {"amount": [refusal.message]}).items():
            form.add_error(field, texts)
        return False
    messages.success(request, _("The credits now belong to %s.") % receiver.name)
    return True


def _balance(organisation: Organisation) -> dict[str, Any]:
    balance = wallet.balance(organisation, lots.CURRENCY)
    have = balance.available + balance.held
    rates = [
        {"resource": rate.resource, "price": rate.credits_per_hour, "lasts": _seconds(have, rate.credits_per_hour)}
        for rate in credits.current_rates(now())
    ]
    return {"balance": balance, "rates": sorted(rates, key=lambda rate: rate["price"])}


def _seconds(have: Decimal, per_hour: Decimal) -> int:
    return int(have / per_hour * 3600)
