"""Pages of the plan: chosen, changed after a look at what it costs, cancelled with a reason, resumed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import Organisation
from accounts.requests import Request
from billing import access, dunning, payment_methods, plans, renewals
from billing.collected import sync
from billing.forms.payments import ChoosePlanForm
from billing.forms.subscriptions import CancelPlanForm, ChangePlanForm
from billing.models import Payment, Subscription
from billing.payments.base import ServiceDown
from billing.payments.services import PAYPAL
from billing.views.payments import go_on, to_service
from lib.errors import Conflict, Invalid
from lib.rate import limit


@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    if "subscription_id" in request.GET:
        _look_again(request, organisation)
    return _page(request, organisation, CancelPlanForm())


def _look_again(request: Request, organisation: Organisation) -> None:
    """Back from PayPal, perhaps with a yes to another plan: what the address says is not believed, PayPal is asked."""
    limit(request, "billing.return", per_minute=60)
    row = renewals.renewed_subscription(organisation)
    if row is not None:
        with suppress(ServiceDown):  # the next look of the worker finds it
            sync(row)


@require_POST
def choose(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    form = ChoosePlanForm(payment_methods.cards_of(organisation), request.POST)
    if not form.is_valid():
        raise _as_invalid(form)
    try:
        return _pay(request, organisation, form)
    except Conflict as refusal:
        if refusal.code != "offer_changed":
            raise
        messages.error(request, refusal.message)
        return redirect("billing:plan")


def _pay(request: Request, organisation: Organisation, form: ChoosePlanForm) -> HttpResponse:
    chosen, shown = plans.find_plan(form.cleaned_data["plan"]), form.cleaned_data["amount"]
    if form.cleaned_data["renew"]:
        return _subscribe(request, organisation, form)
    return to_service(request, organisation, form, purpose=Payment.Purpose.PLAN, plan=chosen, amount=shown)


def _subscribe(request: Request, organisation: Organisation, form: ChoosePlanForm) -> HttpResponse:
    limit(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    payment = renewals.start(
        organisation=organisation,
        plan=plans.find_plan(form.cleaned_data["plan"]),
        card=form.card,
        shown=form.cleaned_data["amount"],
        actor=request.actor,
        # Of its own: who goes back and unticks "renew" on the same page has last said yes to one month.
        idempotency_key=f"page-renew-{form.cleaned_data['token']}",
    )
    return go_on(payment)


@require_http_methods(["GET", "POST"])
def change(request: Request) -> HttpResponse:
    """GET shows what it costs, POST agrees to that."""
    organisation = access.organisation_to_pay_for(request.actor)
    try:
        row = _renewed(organisation)
        return _agree(request, row) if request.method == "POST" else _offer(request, row)
    except Conflict as refusal:
        messages.error(request, refusal.message)
        return redirect("billing:plan")


def _offer(request: Request, row: Subscription) -> HttpResponse:
    offer = renewals.offer(row, plans.find_plan(request.GET.get("plan", "")))
    named = {"plan": offer.plan.pk, "at": int(offer.at.timestamp()), "amount": f"{offer.now.amount:.2f}"}
    named["next_amount"] = f"{offer.next_amount:.2f}"
    context = {
        "offer": offer,
        "subscription": row,
        "by_paypal": row.service == PAYPAL,
        "card": payment_methods.default_of(row.organisation),
        "form": ChangePlanForm(initial={**named, "token": uuid4().hex}),
    }
    return render(request, "billing/plan_change.html", context)


def _agree(request: Request, row: Subscription) -> HttpResponse:
    form = ChangePlanForm(request.POST)
    if not form.is_valid():
        raise _as_invalid(form)
    change = renewals.change(
        row,
        plans.find_plan(form.cleaned_data["plan"]),
        agreed=form.agreed,
        at=form.moment,
        actor=request.actor,
        idempotency_key=f"page-{form.cleaned_data['token']}",
    )
    if change.payment is not None:
        return go_on(change.payment)
    if change.approve_url:
        return redirect(change.approve_url)
    messages.success(request, _("Your plan changes with the next renewal."))
    return redirect("billing:plan")


@require_POST
def cancel(request: Request) -> HttpResponse:
    row = _renewed(access.organisation_to_pay_for(request.actor))
    form = CancelPlanForm(request.POST)
    if not form.is_valid():
        return _page(request, row.organisation, form, status=422)
    renewals.cancel(row, **form.cleaned_data, actor=request.actor)
    messages.success(request, _("Your plan is cancelled. What is paid stays yours until its end."))
    return redirect("billing:plan")


@require_POST
def resume(request: Request) -> HttpResponse:
    row = _renewed(access.organisation_to_pay_for(request.actor))
    try:
        renewals.resume(row, actor=request.actor)
    except Conflict as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, _("Your plan goes on."))
    return redirect("billing:plan")


def _page(request: Request, organisation: Organisation, cancel_form: CancelPlanForm, status: int = 200) -> HttpResponse:
    row = plans.current_subscription(organisation)
    renewed = row if row is not None and row.service else None
    cards = payment_methods.cards_of(organisation)
    agreed = renewed.agreed if renewed else []
    prices = {plan.pk: price for plan, price in agreed}
    context: dict[str, Any] = {
        "plans": [(plan, prices.get(plan.pk)) for plan in plans.public_plans()],
        "current": plans.current_plan(organisation),
        "subscription": row,
        "renewed": renewed,
        "following": agreed[0] if agreed else None,
        "next_try": dunning.next_try(renewed) if renewed else None,
        "card": payment_methods.default_of(organisation),
        "form": ChoosePlanForm(cards, auto_id=False),
        "has_cards": bool(cards),
        "cancel_form": cancel_form,
        "labels": plans.ENTITLEMENTS,
        "token": uuid4().hex,
    }
    return render(request, "billing/plan.html", context, status=status)


def _renewed(organisation: Organisation) -> Subscription:
    limit(f"organisation:{organisation.pk}", "billing.plan", per_minute=20)
    row = renewals.renewed_subscription(organisation)
    if row is None:
        raise Conflict(_("There is no plan that renews itself."), code="not_subscribed")
    return row


def _as_invalid(form: Form) -> Invalid:
    fields = {name: [str(text) for text in form.errors[name]] for name in form.errors}
    return Invalid(_("Choose a plan."), fields=fields)
