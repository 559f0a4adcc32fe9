"""Routes of the automatic top-up and the alerts of balances."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ninja import Router, Schema

from accounts.requests import Request
from billing import access, auto_top_up
from billing.models import AutoTopUp
from lib.money import money_json
from lib.schemas import Money

router = Router(tags=["billing"])


class AutoTopUpIn(Schema):
    is_on: bool
    threshold: Decimal | None = None
    amount: Decimal | None = None


class AutoTopUpOut(Schema):
    is_on: bool
    threshold: Money | None
    amount: Money | None
    tried_at: datetime | None


def show(row: AutoTopUp) -> dict[str, Any]:
    sums = {name: getattr(row, name) for name in ("threshold", "amount")}
    shown = {name: None if value is None else money_json(value, "USD") for name, value in sums.items()}
    return {"is_on": row.is_on, "tried_at": row.tried_at, **shown}


@router.get("wallets/auto-top-up", response=AutoTopUpOut)
def read_auto_top_up(request: Request) -> dict[str, Any]:
    """Below which balance the default card pays in how much."""
    return show(auto_top_up.settings_of(access.organisation_to_see(request.actor)))


@router.put("wallets/auto-top-up", response=AutoTopUpOut)
def change_auto_top_up(request: Request, body: AutoTopUpIn) -> dict[str, Any]:
    """Change it as a whole. It pays at most once an hour, and switches itself off after three refusals."""
    organisation = access.organisation_to_pay_for(request.actor)
    return show(auto_top_up.change(organisation, **body.dict(), actor=request.actor))
