"""Opening a dispute, and what both sides say in it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.disputes import books, claims, notices
from billing.disputes.claims import Claim, Record, Subject
from billing.lifecycle import DisputeStatus, switch_dispute
from billing.models import Dispute, DisputeAppeal, DisputeRecord
from billing.states import DisputeReason
from lib.clock import now
from lib.errors import Conflict, Forbidden, Invalid
from lib.money import round_money

ANSWER_WITHIN = timedelta(days=7)
LONGEST_TEXT = 4000


def open_dispute(
    *,
    actor: Actor,
    pod_id: str,
    owner: str = "",
    amount: Decimal | str | None = None,
    reason: str,
    text: str,
    idempotency_key: str,
) -> Dispute:
    """Dispute what was paid to an owner for a pod; without an amount, all of it. The same key opens one dispute.

    Raises NotFound and Forbidden for the pod, Invalid for what is asked for, Conflict when nothing can be disputed or
    is being disputed already.
    """
    subject = claims.subject_of(actor, pod_id)
    text = check_text(text)
    if reason not in DisputeReason.values:
        raise Invalid(_("Choose a reason."), fields={"reason": [_("Choose a reason.")]})
    asked = None if amount is None else _positive(amount)
    found = opened_before(subject.renter, idempotency_key)
    if found is not None:
        return _same(found, subject, asked, reason, text)
    claim = claims.pick(subject, owner)
    sum_ = claim.paid if asked is None else asked
    if sum_ > claim.paid:
        message = _("At most %(sum)s was paid to this owner.") % {"sum": f"{claim.paid.normalize():f} {claim.currency}"}
        raise Invalid(message, code="more_than_paid", fields={"amount": [message]})
    records = claims.records_of(subject, claim)
    given = {"amount": sum_, "reason": reason, "text": text, "idempotency_key": idempotency_key}
    try:
        return _open(subject, claim, records, actor, **given)
    except IntegrityError:  # it was opened at the same moment, by the same request or another one
        found = opened_before(subject.renter, idempotency_key)
        if found is None:
            raise Conflict(_("There is an open dispute about this pod."), code="disputed_already") from None
        return _same(found, subject, asked, reason, text)


def opened_before(renter: Organisation, idempotency_key: str) -> Dispute | None:
    return Dispute.objects.filter(renter=renter, idempotency_key=idempotency_key).first()


@transaction.atomic
def _open(subject: Subject, claim: Claim, records: list[Record], actor: Actor, **asked: Any) -> Dispute:
    dispute = Dispute.objects.create(
        renter=subject.renter,
        owner=claim.owner,
        pod_id=subject.pod_id,
        pod_name=subject.pod_name,
        usage_from=claim.usage_from,
        usage_until=claim.usage_until,
        paid=claim.paid,
        earned=claim.earned,
        currency=claim.currency,
        due_at=now() + ANSWER_WITHIN,
        opened_by=actor.user,
        **asked,
    )
    dispute.held = books.set_aside(dispute)
    dispute.save(update_fields=["held"])
    dispute.refresh_from_db()
    private = {True: subject.renter, False: None}
    DisputeRecord.objects.bulk_create(
        DisputeRecord(dispute=dispute, name=record.name, rows=record.rows, only_for=private[record.private])
        for record in records
    )
    sums = {"amount": str(dispute.amount), "held": str(dispute.held)}
    for organisation_id in sorted([dispute.renter_id, dispute.owner_id]):  # each locks the chain of one
        audit.record(organisation_id, actor, "dispute.open", dispute, sums)
    notices.tell(dispute, "opened", dispute.owner)
    return dispute


def _same(found: Dispute, subject: Subject, asked: Decimal | None, reason: str, text: str) -> Dispute:
    given = (subject.pod_id, found.amount if asked is None else asked, reason, text)
    if given != (found.pod_id, found.amount, found.reason, found.text):
        raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
    return found


@transaction.atomic
def answer(*, dispute: Dispute, side: Organisation, text: str, actor: Actor) -> Dispute:
    """What the owner says to it, once, in time."""
    dispute, text = lock(dispute), check_text(text)
    if side.pk != dispute.owner_id:
        raise Forbidden(_("Only the owner answers a dispute."))
    if dispute.status != DisputeStatus.OPEN or is_late(dispute):
        raise Conflict(_("It is too late to answer."), code="too_late")
    switch_dispute(dispute, DisputeStatus.ANSWERED, answer=text, answered_at=now(), due_at=None)
    audit.record(side.pk, actor, "dispute.answer", dispute)
    notices.tell(dispute, "answered", dispute.renter)
    return dispute


@transaction.atomic
def appeal(*, dispute: Dispute, side: Organisation, text: str, actor: Actor) -> Dispute:
    """Ask for a second decision: once for each side, while the first one is not final."""
    dispute, text = lock(dispute), check_text(text)
    if dispute.status not in {DisputeStatus.DECIDED, DisputeStatus.APPEALED} or is_late(dispute):
        raise Conflict(_("There is no decision to appeal against, or it is too late."), code="too_late")
    if dispute.appeals.filter(organisation=side).exists():
        raise Conflict(_("You have appealed already."), code="appealed_already")
    DisputeAppeal.objects.create(dispute=dispute, organisation=side, text=text)
    if dispute.status == DisputeStatus.DECIDED:
        switch_dispute(dispute, DisputeStatus.APPEALED)
    audit.record(side.pk, actor, "dispute.appeal", dispute)
    notices.tell(dispute, "appealed", dispute.owner if side.pk == dispute.renter_id else dispute.renter)
    return dispute


def lock(dispute: Dispute) -> Dispute:
    """The row as it is now, held until the caller's transaction ends."""
    rows = Dispute.objects.select_for_update(no_key=True, of=("self",)).select_related("renter", "owner")
    return rows.get(pk=dispute.pk)


def is_late(dispute: Dispute) -> bool:
    """Whether its deadline has passed, also when no worker has looked yet."""
    return dispute.due_at is not None and dispute.due_at <= now()


def check_text(text: str, field: str = "text", longest: int = LONGEST_TEXT) -> str:
    text = text.strip()
    if not 1 <= len(text) <= longest or "\x00" in text:
        message = _("Write 1 to %d characters.") % longest
        raise Invalid(message, fields={field: [message]})
    return text


def check_amount(amount: Decimal | str, field: str = "amount") -> Decimal:
    """A sum of at most six places, which is how usage is paid; zero is one. Raises Invalid."""
    message = _("Write an amount with at most 6 decimal places.")
    try:
        sum_ = Decimal(amount)
        if not sum_.is_finite() or sum_ < 0 or sum_ >= 10**12 or sum_ != round_money(sum_):
            raise InvalidOperation
    except (InvalidOperation, ValueError, TypeError):
        raise Invalid(message, fields={field: [message]}) from None
    return sum_


def _positive(amount: Decimal | str) -> Decimal:
    sum_ = check_amount(amount)
    if not sum_:
        raise Invalid(_("The amount must be positive."), fields={"amount": [_("Write an amount above zero.")]})
    return sum_
