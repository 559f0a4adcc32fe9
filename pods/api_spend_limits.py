"""Routes of monthly spend limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ninja import Router, Schema
from pydantic import Field

from accounts.access import current_organisation, get_member
from accounts.requests import Request
from accounts.roles import Permission
from lib.money import money_json
from lib.schemas import Money
from pods import spend_limits
from pods.models import SpendLimit

router = Router(tags=["billing"])


class LimitOut(Schema):
    member: str | None = Field(description="E-mail address; null: the whole organisation.")
    soft: Money | None
    hard: Money | None
    spent: Money


class LimitsOut(Schema):
    items: list[LimitOut]
    next: str | None = None


class LimitIn(Schema):
    member: str | None = Field(None, max_length=40, description="`mem_…`; null: the whole organisation.")
    soft: Decimal | None = None
    hard: Decimal | None = None


def show_limit(limit: SpendLimit, spent: Decimal) -> dict[str, Any]:
    return {
        "member": limit.person.email if limit.person else None,
        "soft": None if limit.soft is None else money_json(limit.soft, spend_limits.CURRENCY),
        "hard": None if limit.hard is None else money_json(limit.hard, spend_limits.CURRENCY),
        "spent": money_json(spent, spend_limits.CURRENCY),
    }


@router.get("wallets/limits", response=LimitsOut)
def list_limits(request: Request) -> dict[str, Any]:
    """Monthly limits of the organisation and its members, with what was spent from the wallet since the month began."""
    organisation = current_organisation(request.actor, Permission.SEE_BILLING)
    return {"items": [show_limit(standing.limit, standing.spent) for standing in spend_limits.standings(organisation)]}


@router.put("wallets/limits", response=LimitOut)
def set_limit(request: Request, body: LimitIn) -> dict[str, Any]:
    """At `soft` (USD) people are told, at `hard` the pods stop and none starts until the next month. Null: no limit."""
    organisation = current_organisation(request.actor, Permission.MANAGE_BILLING)
    person = get_member(request.actor, body.member, Permission.MANAGE_BILLING).user if body.member else None
    limit = spend_limits.set_limit(
        organisation=organisation, person=person, soft=body.soft, hard=body.hard, actor=request.actor
    )
    return show_limit(limit, spend_limits.spent(organisation, person))
