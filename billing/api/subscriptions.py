"""Routes of the plan that an organisation has: paid for a month, or renewed by a card or PayPal until it is cancelled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from ninja import Router, Schema
from pydantic import Field

from accounts.idempotency import idempotent, key_of
from accounts.models import Organisation
from accounts.requests import Request
from billing import access, dunning, payment_methods, plans, renewals
from billing.api.methods import CardOut, show_card
from billing.api.payments import PaymentOut, PlanOut, show_payment, show_plan, start_payment
from billing.models import Payment, Subscription
from billing.payments.services import STRIPE
from lib.errors import Conflict, Invalid
from lib.money import money_json
from lib.rate import limit
from lib.schemas import Money

router = Router(tags=["billing"])


class SubscriptionOut(Schema):
    plan: PlanOut
    status: str
    period_start: datetime | None = None
    period_end: datetime | None = None
    renews: bool = False
    cancel_at_period_end: bool = False
    price_per_month: Money | None = None
    next_plan: str | None = None
    next_amount: Money | None = None
    service: str | None = None
    card: CardOut | None = None
    past_due_since: datetime | None = None
    next_try: datetime | None = None


class SubscribeIn(Schema):
    plan: str = Field(max_length=32)
    card: str | None = Field(None, max_length=64)
    renew: bool = False
    amount: Decimal | None = Field(None, gt=0, max_digits=12, decimal_places=6)


class PlanIn(Schema):
    plan: str = Field(max_length=32)


class OfferLine(Schema):
    text: str
    amount: Money


class PreviewOut(Schema):
    plan: str
    at: datetime
    amount: Money
    lines: list[OfferLine]
    next_amount: Money
    next_at: datetime | None


class ChangeIn(Schema):
    plan: str = Field(max_length=32)
    at: datetime
    amount: Decimal = Field(ge=0, max_digits=12, decimal_places=6)
    next_amount: Decimal = Field(gt=0, max_digits=12, decimal_places=6)


class ChangeOut(Schema):
    payment: PaymentOut | None
    approve_url: str = ""
    subscription: SubscriptionOut


class CancelIn(Schema):
    reason: str = Field(max_length=24)
    comment: str = Field("", max_length=400)


def show_current(organisation: Organisation) -> dict[str, Any]:
    """JSON-ready: the plan now, and what comes next."""
    row = plans.current_subscription(organisation)
    shown: dict[str, Any] = {
        "plan": show_plan(plans.current_plan(organisation)),
        "status": row.status if row else "free",
    }
    if row is None:
        return shown
    shown |= {"period_start": _text(row.period_start), "period_end": _text(row.period_end)}
    return shown | (_show_renewal(row, organisation) if row.service else {})


def _show_renewal(row: Subscription, organisation: Organisation) -> dict[str, Any]:
    prices = [money_json(price, "USD") for _plan, price in row.agreed]
    card = payment_methods.default_of(organisation) if row.service == STRIPE else None
    renews = not row.cancel_at_period_end
    return {
        "renews": renews,
        "cancel_at_period_end": row.cancel_at_period_end,
        "price_per_month": prices[-1],
        "next_plan": row.next_plan_id,
        "next_amount": prices[0] if renews else None,
        "service": row.service,
        "card": show_card(card) if card else None,
        "past_due_since": _text(row.past_due_since),
        "next_try": _text(dunning.next_try(row)),
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


@router.get("billing/subscription", response=SubscriptionOut)
def read_subscription(request: Request) -> dict[str, Any]:
    """The plan that the organisation has now. `price_per_month`: what was agreed for it, whatever it is sold for now."""
    return show_current(access.organisation_to_see(request.actor))


@router.post("billing/subscription", response={201: PaymentOut})
@idempotent
def subscribe(request: Request, body: SubscribeIn) -> tuple[int, dict[str, Any]]:
    """Pay a month of a plan, with a saved `card` (`crd_…`) or else by PayPal; with `renew` that pays each month.

    With `approve_url` the customer must go there first; the month begins when they have paid. `amount` is the price that
    they were shown: 409 when it is another one by now.
    """
    plan = plans.find_plan(body.plan)
    if not body.renew:
        return 201, start_payment(request, card=body.card, purpose=Payment.Purpose.PLAN, plan=plan, amount=body.amount)
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    card = access.get_card(request.actor, body.card, organisation) if body.card else None
    payment = renewals.start(
        organisation=organisation,
        plan=plan,
        card=card,
        shown=body.amount,
        actor=request.actor,
        idempotency_key=key_of(request),
    )
    return 201, show_payment(payment)


@router.post("billing/subscription/preview", response=PreviewOut)
def preview(request: Request, body: PlanIn) -> dict[str, Any]:
    """What a change of plan costs at once and from the next renewal on. Nothing is changed."""
    row = _renewed(request)
    offer = renewals.offer(row, plans.find_plan(body.plan))
    return {
        "plan": offer.plan.pk,
        "at": offer.at,
        "amount": money_json(offer.now.amount, offer.now.currency),
        "lines": [{"text": text, "amount": money_json(amount, "USD")} for text, amount in offer.lines],
        "next_amount": money_json(offer.next_amount, "USD"),
        "next_at": offer.next_at,
    }


@router.post("billing/subscription/change", response=ChangeOut)
@idempotent
def change(request: Request, body: ChangeIn) -> dict[str, Any]:
    """Agree to a preview: send its `plan`, `at`, `amount` and `next_amount`. A dearer plan begins at once, a cheaper one with the next
    renewal; 409 when the preview no longer holds. With `approve_url` the customer must agree there first."""
    row = _renewed(request)
    plan = plans.find_plan(body.plan)
    if body.at.tzinfo is None:
        message = _("Send the moment as the preview gave it.")
        raise Invalid(message, fields={"at": [message]})
    agreed = (body.amount, body.next_amount)
    done = renewals.change(row, plan, agreed=agreed, at=body.at, actor=request.actor, idempotency_key=key_of(request))
    shown = show_payment(done.payment) if done.payment else None
    return {"payment": shown, "approve_url": done.approve_url, "subscription": show_current(row.organisation)}


@router.post("billing/subscription/cancel", response=SubscriptionOut)
@idempotent
def cancel(request: Request, body: CancelIn) -> dict[str, Any]:
    """Let the plan end with the month that is paid."""
    row = _renewed(request)
    renewals.cancel(row, reason=body.reason, comment=body.comment, actor=request.actor)
    return show_current(row.organisation)


@router.post("billing/subscription/resume", response=SubscriptionOut)
@idempotent
def resume(request: Request) -> dict[str, Any]:
    """Renew a cancelled plan after all, as long as its month lasts."""
    row = _renewed(request)
    renewals.resume(row, actor=request.actor)
    return show_current(row.organisation)


def _renewed(request: Request) -> Subscription:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.plan", per_minute=20)
    row = renewals.renewed_subscription(organisation)
    if row is None:
        raise Conflict(_("There is no plan that renews itself."), code="not_subscribed")
    return row
