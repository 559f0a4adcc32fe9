"""Disputes between renters and owners, for staff of finance."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ninja import Router, Schema
from pydantic import Field

from accounts.access import require_person
from accounts.requests import Request
from billing.api.disputes import SHOWN, DisputeOut, DisputePage, show_dispute
from billing.disputes import deciding
from billing.models import Dispute
from console.access import get_row, require_staff
from lib.lists import page_of

router = Router(tags=["staff"])


class DecisionIn(Schema):
    refund: Decimal = Field(description="What the renter gets back: 0 up to what is disputed.")
    note: str = Field(max_length=deciding.LONGEST_NOTE, description="The reason, which both sides read.")


@router.get("admin/disputes", response=DisputePage)
def list_disputes(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """All disputes, newest first."""
    require_staff(request.actor, "billing")
    return page_of(
        Dispute.objects.prefetch_related(*SHOWN), limit=limit, cursor=cursor, show=lambda row: show_dispute(row, "")
    )


@router.post("admin/disputes/{dispute_id}/decide", response=DisputeOut)
def decide(request: Request, dispute_id: str, body: DecisionIn) -> dict[str, Any]:
    """Decide a dispute; after an appeal somebody else does, and it is final. The same decision sent again changes
    nothing."""
    require_staff(request.actor, "billing", change=True)
    person, dispute = require_person(request.actor), get_row(Dispute.objects.all(), "dsp", dispute_id)
    return show_dispute(deciding.decide(dispute=dispute, refund=body.refund, note=body.note, person=person), "")
