"""Decisions, by staff or by a deadline that has passed. Money moves once, with the step that makes one final.

open ── the owner answers ─→ answered ── staff ─→ decided ── nobody appeals ─→ final
  └───── no answer in time ───────────────────────→ ┘ └── appealed ── another of staff ─→ final
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts import audit
from accounts.actor import Actor
from accounts.models import Member, Organisation, User
from billing import owed
from billing.disputes import books, notices
from billing.disputes.opening import check_amount, check_text, is_late, lock
from billing.lifecycle import DisputeStatus, switch_dispute
from billing.models import Dispute, DisputeDecision
from lib.clock import now
from lib.errors import Conflict, Forbidden, Invalid

log = logging.getLogger(__name__)
ACTOR = actors.worker("billing.disputes")
APPEAL_WITHIN = timedelta(days=7)
BATCH = 100
LONGEST_NOTE = 2000
FIRST, SECOND = 1, 2


@transaction.atomic
def decide(*, dispute: Dispute, refund: Decimal | str, note: str, person: User) -> Dispute:
    """How much the renter gets back: nothing, a part, or all that is disputed. After an appeal it is final.

    Sent twice it decides once. Raises Conflict when there is nothing to decide, and for the second decision by whoever
    made the first; Forbidden for a member of either side; Invalid.
    """
    dispute, note, sum_ = lock(dispute), check_text(note, "note", LONGEST_NOTE), check_amount(refund, "refund")
    if Member.objects.filter(user=person, organisation__in=[dispute.renter_id, dispute.owner_id]).exists():
        raise Forbidden(_("You belong to one of the sides."))
    if sum_ > dispute.amount:
        message = _("At most what is disputed can be refunded.")
        raise Invalid(message, code="more_than_disputed", fields={"refund": [message]})
    last = dispute.decisions.order_by("-number").first()
    if last is not None and (last.by_id, last.refund, last.note) == (person.pk, sum_, note):
        return dispute
    if dispute.status not in {DisputeStatus.ANSWERED, DisputeStatus.APPEALED}:
        raise Conflict(_("There is nothing to decide now."), code="nothing_to_decide")
    if last is not None and last.by_id == person.pk:
        raise Conflict(_("Somebody else has to decide about the appeal."), code="same_person")
    actor = actors.staff(person)
    number = FIRST if last is None else SECOND
    DisputeDecision.objects.create(dispute=dispute, number=number, refund=sum_, note=note, by=person)
    if number == FIRST:
        return _announce(dispute, sum_, actor)
    return _close(dispute, sum_, actor)


def reconcile_disputes() -> int:
    """What deadlines bring about. Returns how many had passed."""
    due = Dispute.objects.filter(due_at__lte=now(), status__in=[DisputeStatus.OPEN, DisputeStatus.DECIDED])
    ids = list(due.order_by("due_at").values_list("pk", flat=True)[:BATCH])
    for id in ids:
        try:
            _pass_deadline(id)
        except Exception:  # the others do not wait for it
            log.exception("dispute %s", id)
    return len(ids)


@transaction.atomic
def _pass_deadline(dispute_id: UUID) -> None:
    rows = Dispute.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
    dispute = rows.select_related("renter", "owner").filter(pk=dispute_id).first()
    if dispute is None or not is_late(dispute):
        return  # somebody else has it, or was first
    if dispute.status == DisputeStatus.OPEN:
        DisputeDecision.objects.create(dispute=dispute, number=FIRST, refund=dispute.amount)
        _announce(dispute, dispute.amount, ACTOR)
    elif dispute.status == DisputeStatus.DECIDED:
        _close(dispute, dispute.decisions.get(number=FIRST).refund, ACTOR)


def _announce(dispute: Dispute, refund: Decimal, actor: Actor) -> Dispute:
    """Decided, and not final: what is held stays held while either side may appeal."""
    switch_dispute(dispute, DisputeStatus.DECIDED, due_at=now() + APPEAL_WITHIN)
    _record(dispute, actor, "dispute.decide", refund)
    notices.tell(dispute, "decided", dispute.renter, dispute.owner)
    return dispute


def _close(dispute: Dispute, refund: Decimal, actor: Actor) -> Dispute:
    renter = Organisation.objects.select_for_update(no_key=True).get(pk=dispute.renter_id)
    given = books.settle(dispute, refund)
    owed.settle(renter, dispute.currency, given, cause=dispute.pk)
    switch_dispute(dispute, DisputeStatus.FINAL, refunded=given, closed_at=now(), due_at=None)
    _record(dispute, actor, "dispute.close", given)
    notices.tell(dispute, "closed", dispute.renter, dispute.owner)
    return dispute


def _record(dispute: Dispute, actor: Actor, action: str, refund: Decimal) -> None:
    for organisation_id in sorted([dispute.renter_id, dispute.owner_id]):  # each locks the chain of one
        audit.record(organisation_id, actor, action, dispute, {"refund": str(refund)})
