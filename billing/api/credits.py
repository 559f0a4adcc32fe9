"""Routes of compute credits."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ninja import Router, Schema
from pydantic import Field

from accounts.idempotency import idempotent, key_of
from accounts.models import Organisation
from accounts.requests import Request
from billing import access, credits, lots, wallet
from billing.models import CreditLot
from lib.clock import now
from lib.money import money_json
from lib.rate import limit as limit_rate
from lib.schemas import Money

router = Router(tags=["billing"])


class RateOut(Schema):
    resource: str
    credits_per_hour: str
    valid_from: datetime


class LotOut(Schema):
    id: str
    source: str
    amount: Money
    left: Money
    expires_at: datetime | None
    created_at: datetime


class CreditsOut(Schema):
    available: Money
    held: Money
    lots: list[LotOut]
    rates: list[RateOut]


class HandOnIn(Schema):
    to: str = Field(max_length=40, description="The other organisation's id, `org_…`.")
    amount: Decimal


def show_credits(organisation: Organisation) -> dict[str, Any]:
    balance = wallet.balance(organisation, lots.CURRENCY)
    return {
        "available": money_json(balance.available, lots.CURRENCY),
        "held": money_json(balance.held, lots.CURRENCY),
        "lots": [show_lot(lot) for lot in lots.open_lots(organisation)],
        "rates": [
            {
                "resource": rate.resource,
                "credits_per_hour": f"{rate.credits_per_hour:f}",
                "valid_from": rate.valid_from.isoformat(),
            }
            for rate in credits.current_rates(now())
        ],
    }


def show_lot(lot: CreditLot) -> dict[str, Any]:
    return {
        "id": lot.public_id,
        "source": lot.source,
        "amount": money_json(lot.amount, lots.CURRENCY),
        "left": money_json(lot.left, lots.CURRENCY),
        "expires_at": lot.expires_at.isoformat() if lot.expires_at else None,
        "created_at": lot.created_at.isoformat(),
    }


@router.get("credits/", response=CreditsOut)
def read_credits(request: Request) -> dict[str, Any]:
    """Compute credits: what is left of each lot, in the order in which they are spent, and what a unit-hour of each
    resource costs (`cpu`: a slot; a GPU model: one GPU)."""
    return show_credits(access.organisation_to_see(request.actor))


@router.post("credits/transfer", response=CreditsOut)
@idempotent
def hand_on(request: Request, body: HandOnIn) -> dict[str, Any]:
    """Give credits to another organisation; they keep their expiry date. Welcome credits cannot be transferred."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "credits.transfer", per_minute=20)
    credits.hand_on(sender=organisation, to=body.to, amount=body.amount, actor=request.actor, key=key_of(request))
    return show_credits(organisation)
