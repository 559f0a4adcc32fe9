"""What may be read of a dispute: by a side of it, or by staff."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation
from billing.disputes import books, evidence, opening
from billing.lifecycle import DisputeStatus
from billing.models import Dispute, DisputeRecord

# How the columns of records are called; a column that is not here is shown by its key.
COLUMNS: dict[str, StrOrPromise] = {
    "amount": _("Amount"),
    "at": _("Time"),
    "cause": _("Cause"),
    "changed": _("Changed"),
    "currency": _("Currency"),
    "detected": _("Noticed"),
    "ended": _("Ended"),
    "epoch": _("Run"),
    "error": _("Error"),
    "exit_code": _("Exit code"),
    "false_alarm": _("False alarm"),
    "from": _("From"),
    "from_epoch": _("From run"),
    "from_node": _("From node"),
    "kind": _("Kind"),
    "last_beat": _("Last beat"),
    "last_seen": _("Last seen"),
    "message": _("Message"),
    "node": _("Node"),
    "node_status": _("State of the node"),
    "price_per_hour": _("Price per hour"),
    "reason": _("Reason"),
    "restarts": _("Restarts"),
    "resumed": _("Went on"),
    "seconds": _("Seconds"),
    "started": _("Started"),
    "state": _("State"),
    "status": _("State"),
    "text": _("Text"),
    "to_epoch": _("To run"),
    "until": _("Until"),
}


def disputes_of(organisation: Organisation) -> QuerySet[Dispute]:
    """As renter or as owner, the newest first."""
    return Dispute.objects.filter(Q(renter=organisation) | Q(owner=organisation)).order_by("-pk")


def about(dispute: Dispute, side: Organisation | None) -> dict[str, Any]:
    """For its page: what a side may read and do; everything for staff (no side)."""
    records = dispute.records.order_by("pk")
    if side is not None:
        records = records.filter(Q(only_for=None) | Q(only_for=side))
    late = opening.is_late(dispute)
    live = dispute.status in {DisputeStatus.DECIDED, DisputeStatus.APPEALED} and not late
    return {
        "dispute": dispute,
        "side": side,
        "records": [_as_table(record) for record in records],
        "evidence": dispute.evidence.select_related("organisation").order_by("pk"),
        "decisions": dispute.decisions.order_by("number"),
        "appeals": dispute.appeals.select_related("organisation").order_by("pk"),
        "short": dispute.held < books.owners_part(dispute, dispute.amount),
        "may_answer": side == dispute.owner and dispute.status == DisputeStatus.OPEN and not late,
        "may_appeal": side is not None and live and not dispute.appeals.filter(organisation=side).exists(),
        "may_hand_in": side is not None and dispute.status != DisputeStatus.FINAL,
        "most_files": evidence.MOST_FILES,
        "largest_mb": evidence.LARGEST // 1024 // 1024,
    }


def _as_table(record: DisputeRecord) -> dict[str, Any]:
    keys = record.rows[0] if record.rows else {}
    return {"name": record.name, "heads": [COLUMNS.get(key, key) for key in keys], "rows": record.rows}
