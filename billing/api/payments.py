"""Routes of plans, payments, wallet and credits, and the notifications of payment services."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from ninja import Router, Schema
from pydantic import Field

from accounts.idempotency import idempotent, key_of
from accounts.requests import Request
from billing import access, inbox, plans, wallet
from billing.models import Payment, Plan
from billing.payments import checkout
from billing.payments.services import PAYPAL, STRIPE
from billing.receipts import receipt_of
from lib.errors import Invalid
from lib.lists import page_of
from lib.money import money_json
from lib.rate import limit as limit_rate
from lib.schemas import Money

router = Router(tags=["billing"])


class PlanOut(Schema):
    slug: str
    name: str
    summary: str
    price_per_month: Money | None
    features: list[str]
    entitlements: dict[str, int | bool | None]


class PlanPage(Schema):
    items: list[PlanOut]
    next: str | None = None


class DepositIn(Schema):
    amount: Decimal
    currency: str = Field("USD", max_length=6)
    card: str | None = Field(None, max_length=64)


class PaymentOut(Schema):
    id: str
    purpose: str
    plan: str | None
    amount: Money
    refunded: Money
    service: str
    status: str
    reason: str
    approve_url: str
    receipt: str | None
    created_at: datetime
    captured_at: datetime | None


class PaymentPage(Schema):
    items: list[PaymentOut]
    next: str | None


class ReceiptOut(Schema):
    number: str
    paid_at: datetime
    organisation: str
    tax_id: str
    description: str
    amount: Money
    service: str
    reference: str


class BalanceOut(Schema):
    currency: str
    available: Money
    held: Money
    burn_per_hour: Money
    runway_seconds: int | None


class BalancesOut(Schema):
    items: list[BalanceOut]
    next: str | None = None


class Received(Schema):
    received: bool


def show_plan(plan: Plan) -> dict[str, Any]:
    price = None if plan.price_per_month is None else money_json(plan.price_per_month, "USD")
    return {
        "slug": plan.slug,
        "name": plan.name,
        "summary": plan.summary,
        "price_per_month": price,
        "features": plan.features,
        "entitlements": plan.entitlements,
    }


def show_payment(payment: Payment) -> dict[str, Any]:
    """JSON-ready, as it is kept with its idempotency key."""
    return {
        "id": payment.public_id,
        "purpose": payment.purpose,
        "plan": payment.plan_id,
        "amount": money_json(payment.amount, payment.currency),
        "refunded": money_json(payment.refunded, payment.currency),
        "service": payment.service,
        "status": payment.status,
        "reason": payment.reason,
        "approve_url": payment.approve_url,
        "receipt": f"R-{payment.receipt_number:06d}" if payment.receipt_number else None,
        "created_at": payment.created_at.isoformat(),
        "captured_at": payment.captured_at.isoformat() if payment.captured_at else None,
    }


@router.get("billing/plans", response=PlanPage, auth=None)
def list_plans(request: Request) -> dict[str, Any]:
    """The plans and what each of them includes (`null`: without limit)."""
    return {"items": [show_plan(plan) for plan in plans.public_plans()]}


@router.get("billing/payments", response=PaymentPage)
def list_payments(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = access.organisation_to_see(request.actor)
    rows = Payment.objects.filter(organisation=organisation)
    return page_of(rows, limit=limit, cursor=cursor, show=show_payment)


@router.get("billing/receipts/{payment_id}", response=ReceiptOut)
def read_receipt(request: Request, payment_id: str) -> dict[str, Any]:
    """The receipt of a complete payment (`pay_…`); 409 while it is not complete."""
    receipt = receipt_of(access.get_payment(request.actor, payment_id))
    return {
        "number": receipt.number,
        "paid_at": receipt.paid_at,
        "organisation": receipt.organisation.name,
        "tax_id": receipt.organisation.tax_id,
        "description": receipt.description,
        "amount": money_json(receipt.amount, receipt.currency),
        "service": receipt.service,
        "reference": receipt.reference,
    }


@router.get("wallets/balance", response=BalancesOut)
def read_balance(request: Request) -> dict[str, Any]:
    """What can be spent, what running pods hold, and how long both last at the present rate."""
    organisation = access.organisation_to_see(request.actor)
    items = []
    for currency in wallet.BALANCES:
        balance, burn = wallet.balance(organisation, currency), wallet.burn_per_hour(organisation, currency)
        runway = wallet.runway(organisation, burn, currency)
        items.append(
            {
                "currency": currency,
                "available": money_json(balance.available, currency),
                "held": money_json(balance.held, currency),
                "burn_per_hour": money_json(burn, currency),
                "runway_seconds": int(runway.total_seconds()) if runway is not None else None,
            }
        )
    return {"items": items}


@router.post("wallets/deposit", response={201: PaymentOut})
@idempotent
def deposit(request: Request, body: DepositIn) -> tuple[int, dict[str, Any]]:
    """Top the wallet up with a saved `card` (`crd_…`), or else by PayPal: send the customer to `approve_url`, if any."""
    if body.currency != checkout.CURRENCY:
        message = _("The wallet is topped up in US dollars.")
        raise Invalid(message, code="wrong_currency", fields={"currency": [message]})
    return 201, start_payment(request, card=body.card, purpose=Payment.Purpose.TOP_UP, amount=body.amount)


@router.post("billing/webhook", response=Received, auth=None)
def receive_stripe(request: Request) -> dict[str, Any]:
    """Stripe's notifications. What is not signed by Stripe, or was signed long ago, is refused."""
    limit_rate(request, "stripe.webhook", per_minute=3000)
    inbox.receive(STRIPE, request.headers, request.body)
    return {"received": True}


@router.post("billing/paypal/webhook", response=Received, auth=None)
def receive_paypal(request: Request) -> dict[str, Any]:
    """PayPal's notifications. What is not signed by PayPal is refused."""
    limit_rate(request, "paypal.webhook", per_minute=600)
    inbox.receive(PAYPAL, request.headers, request.body)
    return {"received": True}


def start_payment(
    request: Request, *, card: str | None, purpose: str, plan: Plan | None = None, amount: Decimal | None = None
) -> dict[str, Any]:
    """A payment by PayPal or by the `card` with this id, as it is shown."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    payment = checkout.start(
        organisation=organisation,
        actor=request.actor,
        idempotency_key=key_of(request),
        purpose=purpose,
        plan=plan,
        amount=amount,
        card=access.get_card(request.actor, card, organisation) if card else None,
        **checkout.own_pages(),
    )
    return show_payment(payment)
