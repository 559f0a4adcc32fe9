"""Pages of billing: balances, statement, top-up, plan, receipt. All of them work without JavaScript."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from billing import access, chargebacks, invoices, owed, payment_methods, plans, wallet
from billing.forms.payments import PRESETS, PayForm, TopUpForm
from billing.lifecycle import PaymentStatus
from billing.models import Payment, Plan
from billing.payments import checkout, declines
from billing.payments.base import ServiceDown
from billing.payments.services import NAMES
from billing.receipts import describe, receipt_of
from lib.clock import now
from lib.rate import limit

ROWS = 30
LIVE_PATH = "/ws/dashboard/"
MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@require_GET
def home(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    if request.htmx:
        return render(request, "billing/_balances.html", _balances(organisation))
    month = _month(request.GET.get("month", ""))
    page = Paginator(wallet.statement(organisation, month), ROWS).get_page(request.GET.get("page"))
    newest = Payment.objects.filter(organisation=organisation).select_related("plan", "subscription").order_by("-pk")
    context = {
        **_balances(organisation),
        "rows": page,
        "month": month,
        "earlier": month - timedelta(days=1),
        "later": (month + timedelta(days=32)).replace(day=1) if month < _first_day(now()) else None,
        "payments": [(payment, describe(payment)) for payment in newest[:10]],
        "live_path": LIVE_PATH,
    }
    return render(request, "billing/home.html", context)


def _balances(organisation: Organisation) -> dict[str, Any]:
    """What the page keeps showing anew while it is open."""
    rows = []
    for currency in wallet.BALANCES:
        burn = wallet.burn_per_hour(organisation, currency)
        runway = wallet.runway(organisation, burn, currency)
        seconds = runway.total_seconds() if runway is not None else None
        rows.append({"balance": wallet.balance(organisation, currency), "burn": burn, "runway": seconds})
    return {
        "balances": rows,
        "plan": plans.current_plan(organisation),
        "subscription": plans.current_subscription(organisation),
        "debts": owed.debts_of(organisation),
        "taken_back": chargebacks.open_for(organisation.pk),
    }


@require_http_methods(["GET", "POST"])
def top_up(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    cards = payment_methods.cards_of(organisation)
    if request.method == "GET":
        form = TopUpForm(cards, initial={"token": uuid4().hex, "preset": PRESETS[1]})
    else:
        form = TopUpForm(cards, request.POST)
        if form.is_valid():
            return to_service(request, organisation, form, purpose=Payment.Purpose.TOP_UP, amount=form.sum)
    context = {"form": form, "balance": wallet.balance(organisation, checkout.CURRENCY)}
    return render(request, "billing/top_up.html", context, status=422 if form.errors else 200)


@require_GET
def returned(request: Request, payment_id: str) -> HttpResponse:
    """Back from the payment service. What the address says is not believed: the service is asked."""
    payment = access.get_payment(request.actor, payment_id)
    if "cancelled" in request.GET:
        payment = checkout.cancel(payment.pk)
    else:
        limit(request, "billing.return", per_minute=60)
        with suppress(ServiceDown):  # the page says that we are waiting; the reconciler goes on asking
            payment = checkout.complete(payment.pk)
    if payment.status == PaymentStatus.CAPTURED:
        return redirect("billing:receipt", payment.public_id)
    context = {
        "payment": payment,
        "status": PaymentStatus(payment.status),
        "declined": declines.explain(payment.reason),
        "service_name": NAMES[payment.service],
    }
    return render(request, "billing/waiting.html", context)


@require_GET
def receipt(request: Request, payment_id: str) -> HttpResponse:
    payment = access.get_payment(request.actor, payment_id, Permission.SEE_BILLING)
    context = {
        "receipt": receipt_of(payment),
        "payment": payment,
        "invoice": invoices.invoice_of(payment),
        "service_name": NAMES[payment.service],
    }
    return render(request, "billing/receipt.html", context)


def to_service(
    request: Request,
    organisation: Organisation,
    form: PayForm,
    *,
    purpose: str,
    plan: Plan | None = None,
    amount: Decimal | None = None,
) -> HttpResponse:
    """Begin a payment and send the customer where it goes on: the service, the bank, or the page of its outcome."""
    limit(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    payment = checkout.start(
        organisation=organisation,
        actor=request.actor,
        idempotency_key=f"page-{form.cleaned_data['token']}",
        purpose=purpose,
        plan=plan,
        amount=amount,
        card=form.card,
        **checkout.own_pages(),
    )
    return go_on(payment)


def go_on(payment: Payment) -> HttpResponse:
    """Where a payment that has begun leads."""
    if payment.status == PaymentStatus.CREATED and payment.approve_url:
        return redirect(payment.approve_url)
    return redirect("billing:return", payment.public_id)


def _month(text: str) -> datetime:
    """The first moment of the month asked for; of this one when it is nonsense."""
    found = MONTH.fullmatch(text)
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC) if found else _first_day(now())


def _first_day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
