"""Payouts, for staff of finance."""

from __future__ import annotations

from typing import Any

from ninja import Router, Schema
from pydantic import Field

from accounts.access import require_person
from accounts.requests import Request
from billing.api.payouts import PayoutOut, show_payout
from billing.models import Payout
from billing.payouts import unclear
from console.access import get_row, require_staff
from lib.lists import page_of
from lib.rate import limit as limit_rate

router = Router(tags=["staff"])


class StaffPayoutOut(PayoutOut):
    organisation: str
    service_ref: str


class StaffPayoutPage(Schema):
    items: list[StaffPayoutOut]
    next: str | None


class NeverLeftIn(Schema):
    reason: str = Field(max_length=unclear.LONGEST_REASON, description="How you know it.")


class WasPaidIn(NeverLeftIn):
    ref: str = Field(max_length=unclear.LONGEST_REF, description="PayPal's id of the batch or of its item.")


def show_staff_payout(row: Payout) -> dict[str, Any]:
    return {**show_payout(row), "organisation": row.organisation.public_id, "service_ref": row.service_ref}


@router.get("admin/payouts", response=StaffPayoutPage)
def list_payouts(
    request: Request, status: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """All payouts, newest first. `sent` with the reason `unclear`: whether it has left, a person has to find out."""
    require_staff(request.actor, "billing")
    rows = Payout.objects.select_related("organisation", "method")
    if status is not None:
        rows = rows.filter(status=status)
    return page_of(rows, limit=limit, cursor=cursor, show=show_staff_payout)


@router.post("admin/payouts/{payout_id}/was-paid", response=StaffPayoutOut)
def was_paid(request: Request, payout_id: str, body: WasPaidIn) -> dict[str, Any]:
    """Of an unclear one: PayPal has it under this id. PayPal is asked for that, and what it says is booked."""
    return _end(request, payout_id, unclear.was_paid, body)


@router.post("admin/payouts/{payout_id}/never-left", response=StaffPayoutOut)
def never_left(request: Request, payout_id: str, body: NeverLeftIn) -> dict[str, Any]:
    """Of an unclear one: PayPal does not have it. The owner's earnings have the sum again."""
    return _end(request, payout_id, unclear.never_left, body)


def _end(request: Request, payout_id: str, act: Any, body: NeverLeftIn) -> dict[str, Any]:
    actor = require_staff(request.actor, "billing", change=True)
    person = require_person(request.actor)
    limit_rate(f"user:{person.pk}", "payouts.act", per_minute=60)
    payout = get_row(Payout.objects.select_related("organisation", "method"), "pyo", payout_id)
    return show_staff_payout(act(payout, **body.dict(), person=person, actor=actor))
