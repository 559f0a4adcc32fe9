"""Routes of the automatic top-up and the alerts of balances."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ninja import Router, Schema
from pydantic import Field

from accounts.requests import Request
from billing import access, auto_top_up, balance_alerts
from billing.models import AutoTopUp, BalanceAlert
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


class AlertIn(Schema):
    currency: str = Field(max_length=6)
    below: Decimal | None = None
    watches_runway: bool = True


class AlertOut(Schema):
    currency: str
    below: Money | None
    watches_runway: bool
    told_at: datetime | None


class AlertsOut(Schema):
    items: list[AlertOut]
    next: str | None = None


def show_alert(row: BalanceAlert) -> dict[str, Any]:
    below = None if row.below is None else money_json(row.below, row.currency)
    return {"currency": row.currency, "below": below, "watches_runway": row.watches_runway, "told_at": row.told_at}


@router.get("wallets/alerts", response=AlertsOut)
def list_alerts(request: Request) -> dict[str, Any]:
    """Below which balance you are told, and whether 24, 6 and 1 hour before it runs out."""
    organisation = access.organisation_to_see(request.actor)
    return {"items": [show_alert(row) for row in balance_alerts.alerts_of(organisation)]}


@router.put("wallets/alerts", response=AlertOut)
def change_alert(request: Request, body: AlertIn) -> dict[str, Any]:
    """Change the alert of one currency as a whole."""
    organisation = access.organisation_to_pay_for(request.actor)
    return show_alert(balance_alerts.change(organisation, **body.dict(), actor=request.actor))
