"""Payments that the payer's bank takes back: learned from the service, answered by staff with evidence.

We look at what the service says and never decide ourselves: `learn` brings our row, the ledger and what was paid for up
to it, as often and in whatever order one likes. What staff want (`submit`, `accept`) is written down first; `bring_up`
tells the service. While the bank decides, a plan goes on; when the sum is lost it ends as after a refund in full.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.actor import Actor
from billing import auto_top_up, chargeback_books, chargeback_notices
from billing.lifecycle import ChargebackStatus, PaymentStatus, switch_chargeback
from billing.models import Chargeback, Payment
from billing.payments import checkout, services
from billing.payments.base import Gone, Refused, RemoteChargeback, ServiceDown
from billing.payments.services import STRIPE, is_configured
from billing.refunds import NotYet
from billing.states import CHARGEBACK_TRANSITIONS
from billing.taking_back import lock_payment
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid

log = logging.getLogger(__name__)
S = ChargebackStatus
# The bank waits for us.
WAITING = (S.WARNING_NEEDS_RESPONSE, S.NEEDS_RESPONSE)
# Each may follow the other, so that by the states alone no answer to an old question is known.
BACK_AND_FORTH = {S.NEEDS_RESPONSE, S.UNDER_REVIEW}
CLOSED = (S.WARNING_CLOSED, S.WON, S.LOST)
# Services that tell of disputes; what PayPal reverses comes as a refund that began there.
TELLING = (STRIPE,)
# A bank may dispute a payment for months; one that is older than this when we first hear of it comes as an event.
WINDOW = timedelta(days=35)
OFF = gettext_lazy("The automatic top-up is off: your bank disputes a payment")
OFTEN = timedelta(minutes=10)
BATCH = 50


def hear(slug: str, ref: str) -> Chargeback:
    """An event has named a dispute. Raises NotYet, Gone, ServiceDown."""
    return learn(slug, services.chargebacks(slug).fetch_chargeback(ref))


def learn(slug: str, remote: RemoteChargeback) -> Chargeback:
    """Bring ours up to what the service says. Raises NotYet for a payment that we do not know (yet), ServiceDown."""
    try:
        payment = checkout.find_by_capture(slug, remote.capture_ref)
    except Gone:
        payment = None
    if payment is None or payment.capture_ref != remote.capture_ref:
        raise NotYet("no payment with this capture")
    return _learn(payment.pk, remote)


def bring_up(chargeback_id: UUID) -> Chargeback:
    """Tell the service what staff want, if they want something, and learn what it says. Raises ServiceDown, Conflict."""
    row = Chargeback.objects.get(pk=chargeback_id)
    try:
        remote = _ask(row)
    except Gone:
        raise ServiceDown("the service does not know this dispute any more") from None
    except Refused as refusal:
        log.error("chargeback %s: the service refuses: %s", row.public_id, refusal)
        Chargeback.objects.filter(pk=row.pk, submitted_at=None).update(evidence={}, accepted_at=None)
        raise Conflict(
            _("The payment service refused this: %(reason)s.") % {"reason": refusal.issue}, code="refused"
        ) from refusal
    return learn(row.service, remote)


def submit(*, chargeback: Chargeback, evidence: Mapping[str, str], actor: Actor) -> Chargeback:
    """Send evidence to the bank, once each time that it waits for some; sent again with the same, nothing happens. When
    the service is away, the reconciler goes on. Raises Conflict when the bank waits for none, or other evidence is on its way."""
    if not evidence:
        raise Invalid(_("There is no evidence to send."))
    _want(chargeback.pk, actor, evidence=dict(evidence))
    return _try(chargeback.pk)


def accept(*, chargeback: Chargeback, actor: Actor) -> Chargeback:
    """Give in to the bank: the sum is lost. Raises Conflict when it is decided, or evidence was sent."""
    _want(chargeback.pk, actor, evidence={})
    return _try(chargeback.pk)


def reconcile_chargebacks() -> int:
    """What no event has told us, what is still to be said, and what is due soon. Returns how many were looked at."""
    looked = sum(_learn_all(slug) for slug in filter(is_configured, TELLING))
    to_say = (~Q(evidence={}) & Q(submitted_at=None)) | Q(accepted_at__isnull=False)
    due = Q(checked_at=None) | Q(checked_at__lt=now() - OFTEN)
    for row in Chargeback.objects.filter(due | to_say).exclude(status__in=CLOSED).order_by("checked_at")[:BATCH]:
        looked += 1
        _quietly(row.public_id, partial(bring_up, row.pk))
    _warn_of_due()
    return looked


def compare(slug: str, since: datetime, until: datetime) -> Iterator[tuple[str, Decimal | None, Decimal]]:
    """Each dispute at the service that was opened in between: its name there, what has left our books for it (None when
    we do not know it), and what the service took. Raises ServiceDown."""
    if slug not in TELLING:
        return
    ours = {row.service_ref: row for row in Chargeback.objects.filter(service=slug, opened_at__gte=since)}
    for remote in services.chargebacks(slug).chargebacks_since(since):
        if remote.opened_at < until:
            row, taken = ours.get(remote.ref), remote.withdrawn - remote.returned + remote.fee
            yield remote.ref, row.withdrawn - row.returned + row.fee if row else None, taken


def open_for(organisation_id: UUID) -> list[Chargeback]:
    """What a customer's bank has taken back and not decided yet."""
    rows = Chargeback.objects.filter(payment__organisation=organisation_id, withdrawn__gt=0)
    return list(rows.exclude(status__in=CLOSED).select_related("payment").order_by("-opened_at"))


def _learn_all(slug: str) -> int:
    looked = 0
    try:
        for remote in services.chargebacks(slug).chargebacks_since(now() - WINDOW):
            looked += 1
            _quietly(remote.ref, partial(learn, slug, remote))
    except (ServiceDown, Refused) as away:
        log.warning("disputes of %s are not listed now: %s", slug, getattr(away, "detail", away))
    return looked


def _quietly(name: str, act: Callable[[], object]) -> None:
    """One that cannot be looked at holds up no other."""
    try:
        act()
    except NotYet as reason:
        log.error("dispute %s: %s", name, reason)
    except AppError as away:
        log.warning("dispute %s waits: %s", name, getattr(away, "detail", away.message))
    except Exception:
        log.exception("dispute %s", name)


def _ask(row: Chargeback) -> RemoteChargeback:
    remote = services.chargebacks(row.service)
    found = remote.fetch_chargeback(row.service_ref)
    if found.state not in WAITING:
        return found
    if row.accepted_at is not None:
        return remote.accept_chargeback(row.service_ref, request_id=f"accept-{row.pk.hex}")
    if row.evidence and row.submitted_at is None:
        said = [row.evidence, len(row.sent_before)]  # the same may be sent again when the bank wants to hear more
        digest = sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
        return remote.send_evidence(row.service_ref, row.evidence, request_id=f"evidence-{row.pk.hex}-{digest}")
    return found


def _try(chargeback_id: UUID) -> Chargeback:
    try:
        return bring_up(chargeback_id)
    except ServiceDown as away:
        row = Chargeback.objects.get(pk=chargeback_id)
        log.warning("chargeback %s waits: %s", row.public_id, away.detail)
        return row


@transaction.atomic
def _want(chargeback_id: UUID, actor: Actor, *, evidence: dict[str, str]) -> None:
    """Write down what staff want: to send this, or with none to give in."""
    rows = Chargeback.objects.select_for_update(no_key=True, of=("self",)).select_related("payment")
    row = rows.get(pk=chargeback_id)
    said = bool(row.evidence or row.accepted_at)
    if said and (row.evidence, row.accepted_at is None) == (evidence, bool(evidence)):
        return
    if said or row.status not in (WAITING if evidence else (S.NEEDS_RESPONSE,)):
        raise Conflict(_("The bank has been answered, or does not wait for an answer."), code="not_waiting")
    if evidence and row.due_at is not None and row.due_at <= now():
        raise Conflict(_("The day by which the bank wanted evidence is over."), code="too_late")
    columns: dict[str, Any] = {"evidence": evidence} if evidence else {"accepted_at": now()}
    Chargeback.objects.filter(pk=row.pk).update(**columns)
    verb = "chargeback.submit" if evidence else "chargeback.accept"
    audit.record(row.payment.organisation_id, actor, verb, row, {"fields": sorted(evidence)})


@transaction.atomic
def _learn(payment_id: UUID, remote: RemoteChargeback) -> Chargeback:
    payment = lock_payment(payment_id)
    if payment.status != PaymentStatus.CAPTURED:
        raise NotYet("a payment that is not booked")
    row, is_new = _find_or_make(payment, remote)
    if _is_older(row, remote):
        return row
    before = row.withdrawn
    chargeback_books.book(row, payment, remote)
    Chargeback.objects.filter(pk=row.pk).update(
        amount=remote.amount, reason=remote.reason, due_at=remote.due_at or row.due_at, checked_at=now()
    )
    row.refresh_from_db()
    if is_new:
        chargeback_notices.tell_opened(row)
    if row.withdrawn and not before:
        chargeback_notices.tell_taken(row, payment)
        # The wallet is empty now: it would be filled at once, from the very card that is disputed perhaps.
        auto_top_up.switch_off(payment.organisation, OFF)
    if remote.state != row.status:
        _follow(row, payment, remote.state)
    return row


def _find_or_make(payment: Payment, remote: RemoteChargeback) -> tuple[Chargeback, bool]:
    """A new one begins at its beginning, however late we hear of it."""
    first = S.WARNING_NEEDS_RESPONSE if remote.state.startswith("warning") else S.NEEDS_RESPONSE
    row, is_new = Chargeback.objects.get_or_create(
        service=payment.service,
        service_ref=remote.ref,
        defaults={
            "payment": payment,
            "amount": remote.amount,
            "currency": remote.currency,
            "reason": remote.reason,
            "status": first,
            "opened_at": remote.opened_at,
            "due_at": remote.due_at,
        },
    )
    row.payment = payment
    return row, is_new


def _is_older(row: Chargeback, remote: RemoteChargeback) -> bool:
    """An answer that another worker's newer one has overtaken, or may have."""
    if remote.withdrawn < row.withdrawn or remote.returned < row.returned:
        return True
    if remote.state == row.status:
        return False
    if {remote.state, row.status} == BACK_AND_FORTH and row.checked_at is not None and remote.asked_at < row.checked_at:
        return True  # the next look tells
    return remote.state not in CHARGEBACK_TRANSITIONS[row.status]


def _follow(row: Chargeback, payment: Payment, state: str) -> None:
    columns: dict[str, Any] = {"closed_at": now()} if state in CLOSED else {}
    if state in (S.UNDER_REVIEW, S.WARNING_UNDER_REVIEW):
        columns["submitted_at"] = now()
    elif state in WAITING and row.submitted_at is not None:
        # What was sent is not said again: staff write anew.
        sent = {"at": row.submitted_at.isoformat(), "evidence": row.evidence}
        columns |= {"sent_before": [*row.sent_before, sent], "evidence": {}, "submitted_at": None, "warned_at": None}
    switch_chargeback(row, state, **columns)
    if state in (S.WON, S.LOST):
        chargeback_notices.tell_decided(row, payment)
    if state == S.LOST:
        chargeback_books.close_lost(row, payment)
    elif state == S.WON and hasattr(row, "credit_note"):
        log.error("chargeback %s was lost and is won: its credit note stands", row.public_id)


def _warn_of_due() -> None:
    """Three days before the bank no longer listens."""
    soon = Chargeback.objects.filter(
        status__in=WAITING, due_at__gt=now(), due_at__lte=now() + chargeback_notices.WARN_BEFORE, warned_at=None
    )
    for row in soon.filter(evidence={}, accepted_at=None).select_related("payment"):
        with transaction.atomic():
            if Chargeback.objects.filter(pk=row.pk, warned_at=None).update(warned_at=now()):
                chargeback_notices.warn_of_due(row)
