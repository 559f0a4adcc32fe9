"""Chargebacks, for staff of finance."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Router, Schema

from accounts.requests import Request
from billing.models import Chargeback
from console.access import require_staff
from lib.lists import page_of
from lib.money import money_json
from lib.schemas import Money

router = Router(tags=["staff"])


class ChargebackOut(Schema):
    id: str
    payment: str
    service: str
    service_ref: str
    reason: str
    status: str
    amount: Money
    withdrawn: Money
    returned: Money
    fee: Money
    opened_at: datetime
    due_at: datetime | None
    submitted_at: datetime | None
    closed_at: datetime | None


class ChargebackPage(Schema):
    items: list[ChargebackOut]
    next: str | None


def show_chargeback(row: Chargeback) -> dict[str, Any]:
    sums = {name: money_json(getattr(row, name), row.currency) for name in ("amount", "withdrawn", "returned", "fee")}
    names = ("service", "service_ref", "reason", "status", "opened_at", "due_at", "submitted_at", "closed_at")
    plain = {name: getattr(row, name) for name in names}
    return {"id": row.public_id, "payment": row.payment.public_id, **plain, **sums}


@router.get("admin/chargebacks", response=ChargebackPage)
def list_chargebacks(
    request: Request, status: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Payments that payers' banks dispute, the newest first; `withdrawn` is what the service took from us for one."""
    require_staff(request.actor, "billing")
    rows = Chargeback.objects.select_related("payment")
    if status is not None:
        rows = rows.filter(status=status)
    return page_of(rows, limit=limit, cursor=cursor, show=show_chargeback)
