"""Routes of earnings: the balance, payouts, where they go, who is paid, statements."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from django.conf import settings
from django.urls import reverse
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.access import require_person
from accounts.idempotency import idempotent, key_of
from accounts.requests import Request
from accounts.roles import Permission
from billing import access
from billing.models import PayeeProfile, Payout, PayoutMethod
from billing.payouts import deciding, earnings, methods, payees, requesting, statements
from lib.lists import page_of
from lib.money import money_json
from lib.rate import limit as limit_rate
from lib.schemas import Money

router = Router(tags=["payouts"])


class EarningsOut(Schema):
    balance: Money
    available: Money = Field(description="What can be paid out now.")
    held_back: Money = Field(description=f"Earned within the last {earnings.HOLD_BACK.days} days.")
    set_aside: Money = Field(description="Payouts on their way, and open disputes.")
    next_pay_day: datetime


class PayoutIn(Schema):
    amount: Decimal | None = Field(None, description="In USD; without one, all that is available.")
    method: str | None = Field(None, max_length=40, description="Without one, the default.")


class MoveIn(Schema):
    amount: Decimal | None = Field(None, description="In USD; without one, all that is available.")


class MoveOut(Schema):
    moved: Money


class PayoutOut(Schema):
    id: str
    amount: Money
    returned: Money
    status: str
    reason: str
    method: str
    kind: str
    not_before: datetime
    needs_approval: bool
    weekly: bool
    created_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None


class PayoutPage(Schema):
    items: list[PayoutOut]
    next: str | None


class MethodIn(Schema):
    """What the kind needs: `email` for PayPal; `holder`, `iban`, `bic` for a bank; `chain`, `wallet_id` for USDC."""

    kind: Literal["stripe", "paypal", "bank", "usdc"]
    email: str = Field("", max_length=254)
    holder: str = Field("", max_length=200)
    iban: str = Field("", max_length=50)
    bic: str = Field("", max_length=20)
    chain: str = Field("", max_length=16)
    wallet_id: str = Field("", max_length=40)


class MethodOut(Schema):
    id: str
    kind: str
    display: str
    is_default: bool
    is_ready: bool
    missing: list[str]
    payable_from: datetime


class MethodPage(Schema):
    items: list[MethodOut]
    next: str | None = None


class MethodMade(Schema):
    method: MethodOut | None = None
    onboarding_url: str = Field("", description="Stripe's page, good once and for minutes.")


class PayeeIn(Schema):
    legal_name: str = Field(max_length=200)
    country: str = Field(max_length=2)
    tax_form: str = Field(max_length=8, examples=["w8ben"])
    pays_weekly: bool = True


class MissingOut(Schema):
    field: str
    text: str
    by_us: bool


class PayeeOut(Schema):
    legal_name: str
    country: str
    tax_form: str
    tax_received_at: datetime | None
    identity: str
    pays_weekly: bool
    missing: list[MissingOut] = Field(description="What stands between the owner and their money.")


class LineOut(Schema):
    day: date
    cause: str
    memo: str
    gross: Money
    fee: Money
    net: Money


class StatementOut(Schema):
    month: str
    opening: Money
    gross: Money
    fee: Money
    net: Money
    paid_out: Money
    moved: Money
    other: Money
    closing: Money
    lines: list[LineOut]


def usd(amount: Decimal) -> dict[str, Any]:
    return money_json(amount, earnings.CURRENCY)


def show_payout(payout: Payout) -> dict[str, Any]:
    """JSON-ready, as it is kept with its idempotency key."""
    return {
        "id": payout.public_id,
        "amount": usd(payout.amount),
        "returned": usd(payout.returned),
        "status": payout.status,
        "reason": payout.reason,
        "method": payout.method.public_id,
        "kind": payout.kind,
        "not_before": payout.not_before.isoformat(),
        "needs_approval": payout.needs_approval,
        "weekly": payout.requested_by_id is None,
        "created_at": payout.created_at.isoformat(),
        "sent_at": payout.sent_at.isoformat() if payout.sent_at else None,
        "finished_at": payout.finished_at.isoformat() if payout.finished_at else None,
    }


def show_method(method: PayoutMethod) -> dict[str, Any]:
    return {
        "id": method.public_id,
        "kind": method.kind,
        "display": method.display,
        "is_default": method.is_default,
        "is_ready": method.is_ready,
        "missing": method.missing,
        "payable_from": method.payable_from,
    }


def show_payee(profile: PayeeProfile) -> dict[str, Any]:
    names = ("legal_name", "country", "tax_form", "tax_received_at", "identity", "pays_weekly")
    gaps = [
        {"field": gap.field, "text": gap.text, "by_us": gap.by_us} for gap in methods.missing_of(profile.organisation)
    ]
    return {**{name: getattr(profile, name) for name in names}, "missing": gaps}


@router.get("payouts/", response=PayoutPage)
def list_payouts(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Newest first: `new`, `sent` or `exported`, then `paid`, `failed` or `returned`."""
    rows = requesting.payouts_of(access.organisation_to_see(request.actor))
    return page_of(rows, limit=limit, cursor=cursor, show=show_payout)


@router.post("payouts/", response={201: PayoutOut})
@idempotent
def request_payout(request: Request, body: PayoutIn) -> tuple[int, dict[str, Any]]:
    """Pay out earnings. 409 with what is missing of the payee, field by field."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    made = requesting.request_payout(
        organisation=organisation,
        amount=body.amount,
        method=access.get_payout_method(request.actor, body.method, organisation) if body.method else None,
        actor=request.actor,
        key=key_of(request),
    )
    return 201, show_payout(made)


@router.get("payouts/earnings", response=EarningsOut)
def read_earnings(request: Request) -> dict[str, Any]:
    found = earnings.earnings_of(access.organisation_to_see(request.actor))
    sums = {name: usd(getattr(found, name)) for name in ("balance", "available", "held_back", "set_aside")}
    return {**sums, "next_pay_day": requesting.last_pay_day() + requesting.WEEK}


@router.post("payouts/to-wallet", response=MoveOut)
@idempotent
def move_to_wallet(request: Request, body: MoveIn) -> dict[str, Any]:
    """Earnings into the organisation's own wallet, at once and for nothing."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    moved = requesting.move_to_wallet(
        organisation=organisation,
        amount=body.amount,
        actor=request.actor,
        key=key_of(request),
    )
    return {"moved": usd(moved)}


@router.get("payouts/payee", response=PayeeOut)
def read_payee(request: Request) -> dict[str, Any]:
    return show_payee(payees.profile_of(access.organisation_to_see(request.actor)))


@router.put("payouts/payee", response=PayeeOut)
def change_payee(request: Request, body: PayeeIn) -> dict[str, Any]:
    """What the owner states; our staff or Stripe confirm it. For people, not for API keys."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.payee", per_minute=20)
    return show_payee(payees.change(organisation, **body.dict(), actor=request.actor))


@router.get("payouts/methods", response=MethodPage)
def list_payout_methods(request: Request) -> dict[str, Any]:
    organisation = access.organisation_to_see(request.actor)
    return {"items": [show_method(method) for method in methods.methods_of(organisation)]}


@router.post("payouts/methods", response={201: MethodMade})
def add_payout_method(request: Request, body: MethodIn) -> Status[dict[str, Any]]:
    """Where to be paid. A new one waits a day, and all who may pay are told by mail. For people, not for API keys."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.payout_methods", per_minute=10)
    actor = request.actor
    if body.kind == "stripe":
        back = settings.PUBLIC_URL + reverse("billing:earnings_stripe")
        email = require_person(actor).email
        url = methods.begin_stripe(organisation, email=email, return_url=back, refresh_url=back, actor=actor)
        return Status(201, {"onboarding_url": url})
    if body.kind == "paypal":
        made = methods.add_paypal(organisation, email=body.email, actor=actor)
    elif body.kind == "bank":
        made = methods.add_bank(organisation, holder=body.holder, iban=body.iban, bic=body.bic, actor=actor)
    else:
        wallet = access.get_linked_wallet(actor, body.wallet_id)
        made = methods.add_usdc(organisation, chain=body.chain, wallet=wallet, actor=actor)
    return Status(201, {"method": show_method(made)})


@router.delete("payouts/methods/{way_id}", response={204: None})
def remove_payout_method(request: Request, way_id: str) -> Status[None]:
    """What waits to be paid to it is called off; what has left goes on. For people, not for API keys."""
    method = access.get_payout_method(request.actor, way_id)
    limit_rate(f"organisation:{method.organisation_id}", "billing.payout_methods", per_minute=10)
    methods.remove(method, actor=request.actor)
    return Status(204, None)


@router.get("payouts/statements/{month}", response=StatementOut)
def read_statement(request: Request, month: str) -> dict[str, Any]:
    """A month (`2026-11`): usage by day and pod, our share, payouts, opening and closing balance."""
    organisation = access.organisation_to_see(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.statement", per_minute=60)
    found = statements.statement_of(organisation, month)
    sums = ("opening", "gross", "fee", "net", "paid_out", "moved", "other", "closing")
    lines = [
        {"day": line.day, "cause": line.cause, "memo": line.memo}
        | {name: usd(getattr(line, name)) for name in ("gross", "fee", "net")}
        for line in found.lines
    ]
    return {"month": found.month, "lines": lines, **{name: usd(getattr(found, name)) for name in sums}}


@router.get("payouts/{payout_id}", response=PayoutOut)
def read_payout(request: Request, payout_id: str) -> dict[str, Any]:
    return show_payout(access.get_payout(request.actor, payout_id))


@router.post("payouts/{payout_id}/cancel", response=PayoutOut)
def cancel_payout(request: Request, payout_id: str) -> dict[str, Any]:
    """Give the sum back to the earnings; 409 once somebody was asked to pay it."""
    payout = access.get_payout(request.actor, payout_id, Permission.MANAGE_BILLING)
    limit_rate(f"organisation:{payout.organisation_id}", "billing.pay", per_minute=20)
    return show_payout(deciding.cancel(payout, actor=request.actor))
