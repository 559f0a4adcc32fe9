"""Refunds, for staff of finance."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ninja import Router, Schema, Status
from ninja.params.functions import Header
from pydantic import Field

from accounts.idempotency import DESCRIPTION, HEADER, LONGEST_KEY, as_kept
from accounts.requests import Request
from billing import refunds
from billing.models import Payment, Refund
from console.access import get_row, require_staff
from lib.lists import page_of
from lib.money import money_json
from lib.schemas import Money

router = Router(tags=["staff"])
KEY: Any = Header(..., alias=HEADER, min_length=1, max_length=LONGEST_KEY, description=DESCRIPTION)


class RefundIn(Schema):
    payment_id: str = Field(max_length=40)
    amount: Decimal
    reason: str = Field(max_length=200)


class RefundOut(Schema):
    id: str
    payment: str
    origin: str
    amount: Money
    status: str
    reason: str
    error: str
    service_ref: str
    credit_note: str | None
    created_at: datetime
    completed_at: datetime | None


class RefundPage(Schema):
    items: list[RefundOut]
    next: str | None


def show_refund(refund: Refund) -> dict[str, Any]:
    note = getattr(refund, "credit_note", None)
    return {
        "id": refund.public_id,
        "payment": refund.payment.public_id,
        "origin": refund.origin,
        "amount": money_json(refund.amount, refund.currency),
        "status": refund.status,
        "reason": refund.reason,
        "error": refund.error,
        "service_ref": refund.service_ref,
        "credit_note": note.number if note else None,
        "created_at": refund.created_at,
        "completed_at": refund.completed_at,
    }


@router.get("admin/refunds", response=RefundPage)
def list_refunds(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    require_staff(request.actor, "billing")
    rows = Refund.objects.select_related("payment", "credit_note")
    return page_of(rows, limit=limit, cursor=cursor, show=show_refund)


@router.post("admin/refunds", response={201: RefundOut})
def refund_payment(request: Request, body: RefundIn, idempotency_key: str = KEY) -> Status[dict[str, Any]]:
    """Give a payment back, in part or in full. `sent`: the service has not confirmed it yet, and is asked again."""
    actor = require_staff(request.actor, "billing", change=True)
    payment = get_row(Payment.objects.all(), "pay", body.payment_id)
    key = as_kept(idempotency_key)
    made = refunds.give_back(payment=payment, amount=body.amount, reason=body.reason, actor=actor, idempotency_key=key)
    return Status(201, show_refund(made))
