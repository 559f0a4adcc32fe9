"""Routes of disputes between renters and owners."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.http import HttpResponse
from ninja import Router, Schema, Status
from ninja.files import UploadedFile
from ninja.params.functions import File
from pydantic import Field

from accounts.idempotency import idempotent, key_of
from accounts.requests import Request
from accounts.roles import Permission
from billing import access
from billing.disputes import claims, evidence, opening, reading
from billing.models import Dispute, DisputeEvidence
from lib.lists import page_of
from lib.money import money_json
from lib.rate import limit as limit_rate
from lib.schemas import Money

router = Router(tags=["billing"])
SHOWN = ("decisions", "evidence")  # what `show_dispute` reads of other tables
FILE: Any = File(None, description="A PNG or JPEG image, a PDF or plain text of at most 5 MB.")


class ClaimOut(Schema):
    owner: str
    owner_name: str
    paid: Money
    usage_from: datetime
    usage_until: datetime


class ClaimsOut(Schema):
    pod: str
    items: list[ClaimOut]


class OpenIn(Schema):
    pod_id: str = Field(max_length=40)
    owner: str = Field("", max_length=40, description="Needed where the pod ran at several owners.")
    amount: Decimal | None = Field(None, description="At most what was paid; all of it when it is left out.")
    reason: str = Field(max_length=16)
    text: str = Field(max_length=opening.LONGEST_TEXT)


class TextIn(Schema):
    text: str = Field(max_length=opening.LONGEST_TEXT)


class EvidenceOut(Schema):
    id: str
    by: str
    name: str
    content_type: str
    size: int
    sha256: str
    created_at: datetime


class DecisionOut(Schema):
    number: int
    refund: Money
    note: str
    by_deadline: bool
    created_at: datetime


class DisputeOut(Schema):
    id: str
    role: str = Field(description="`renter` or `owner`: the side of the caller.")
    pod_name: str
    status: str
    reason: str
    text: str
    answer: str
    disputed: Money
    paid: Money
    held: Money
    refunded: Money
    due_at: datetime | None
    usage_from: datetime
    usage_until: datetime
    created_at: datetime
    closed_at: datetime | None
    decisions: list[DecisionOut]
    evidence: list[EvidenceOut]


class DisputePage(Schema):
    items: list[DisputeOut]
    next: str | None


def show_dispute(dispute: Dispute, role: str) -> dict[str, Any]:
    money = {name: getattr(dispute, name) for name in ("paid", "held", "refunded")} | {"disputed": dispute.amount}
    return {
        "id": dispute.public_id,
        "role": role,
        **{name: getattr(dispute, name) for name in ("pod_name", "status", "reason", "text", "answer")},
        **{name: money_json(amount, dispute.currency) for name, amount in money.items()},
        "due_at": dispute.due_at,
        "usage_from": dispute.usage_from,
        "usage_until": dispute.usage_until,
        "created_at": dispute.created_at,
        "closed_at": dispute.closed_at,
        "decisions": [
            {
                "number": decision.number,
                "refund": money_json(decision.refund, dispute.currency),
                "note": decision.note,
                "by_deadline": decision.by_id is None,
                "created_at": decision.created_at,
            }
            for decision in sorted(dispute.decisions.all(), key=attrgetter("number"))
        ],
        "evidence": [show_evidence(row, dispute) for row in sorted(dispute.evidence.all(), key=attrgetter("pk"))],
    }


def show_evidence(row: DisputeEvidence, dispute: Dispute) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "by": "renter" if row.organisation_id == dispute.renter_id else "owner",
        "name": row.name,
        "content_type": row.content_type,
        "size": row.size,
        "sha256": row.sha256,
        "created_at": row.created_at,
    }


@router.get("disputes/", response=DisputePage)
def list_disputes(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Disputes of the organisation, as renter or as owner, newest first."""
    organisation = access.organisation_to_see(request.actor)
    rows = reading.disputes_of(organisation).prefetch_related(*SHOWN)

    def show(row: Dispute) -> dict[str, Any]:
        return show_dispute(row, "renter" if row.renter_id == organisation.pk else "owner")

    return page_of(rows, limit=limit, cursor=cursor, show=show)


@router.get("disputes/claims/{pod_id}", response=ClaimsOut)
def read_claims(request: Request, pod_id: str) -> dict[str, Any]:
    """What can be disputed of a pod: what was paid to each owner in the last 14 days and was not disputed before."""
    subject = claims.subject_of(request.actor, pod_id)
    items = [
        {
            "owner": claim.owner.public_id,
            "owner_name": claim.owner.name,
            "paid": money_json(claim.paid, claim.currency),
            "usage_from": claim.usage_from,
            "usage_until": claim.usage_until,
        }
        for claim in subject.claims
    ]
    return {"pod": pod_id, "items": items}


@router.post("disputes/", response={201: DisputeOut})
@idempotent
def open_dispute(request: Request, body: OpenIn) -> tuple[int, dict[str, Any]]:
    """Dispute what was paid to the owner of a machine for a pod. The owner has 7 days to answer."""
    limit_rate(f"organisation:{request.actor.organisation_id}", "disputes.open", per_minute=10)
    dispute = opening.open_dispute(actor=request.actor, **body.dict(), idempotency_key=key_of(request))
    return 201, show_dispute(dispute, "renter")


@router.get("disputes/{dispute_id}", response=DisputeOut)
def read_dispute(request: Request, dispute_id: str) -> dict[str, Any]:
    dispute, side = access.get_dispute(request.actor, dispute_id)
    return show_dispute(dispute, "renter" if side == dispute.renter else "owner")


@router.post("disputes/{dispute_id}/answer", response=DisputeOut)
@idempotent
def answer(request: Request, dispute_id: str, body: TextIn) -> dict[str, Any]:
    """What the owner says to it, once, within the deadline."""
    dispute, side = access.get_dispute(request.actor, dispute_id, Permission.MANAGE_BILLING)
    limit_rate(f"organisation:{side.pk}", "disputes.say", per_minute=20)
    return show_dispute(opening.answer(dispute=dispute, side=side, text=body.text, actor=request.actor), "owner")


@router.post("disputes/{dispute_id}/appeal", response=DisputeOut)
@idempotent
def appeal(request: Request, dispute_id: str, body: TextIn) -> dict[str, Any]:
    """Ask for a second decision by somebody else, once for each side, within 7 days of the first."""
    dispute, side = access.get_dispute(request.actor, dispute_id, Permission.MANAGE_BILLING)
    limit_rate(f"organisation:{side.pk}", "disputes.say", per_minute=20)
    dispute = opening.appeal(dispute=dispute, side=side, text=body.text, actor=request.actor)
    return show_dispute(dispute, "renter" if side == dispute.renter else "owner")


@router.post("disputes/{dispute_id}/evidence", response={201: EvidenceOut})
def hand_in(request: Request, dispute_id: str, file: UploadedFile | None = FILE) -> Status[dict[str, Any]]:
    """Hand in a file, at most ten for each side. The same file again answers with the one that is there."""
    dispute, side = access.get_dispute(request.actor, dispute_id, Permission.MANAGE_BILLING)
    limit_rate(f"organisation:{side.pk}", "disputes.evidence", per_minute=20)
    row = evidence.hand_in(dispute=dispute, side=side, file=file, actor=request.actor)
    return Status(201, show_evidence(row, dispute))


@router.get(
    "disputes/{dispute_id}/evidence/{evidence_id}",
    response={200: None},
    openapi_extra={
        "responses": {
            200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
        }
    },
)
def read_evidence(request: Request, dispute_id: str, evidence_id: str) -> HttpResponse:
    """The file, of its own type."""
    return evidence.as_file(access.get_evidence(request.actor, dispute_id, evidence_id))
