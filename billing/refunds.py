"""Money that goes back: asked for by staff, or begun at the service; in parts or in full; each booked once.

`request` sets the money aside, `bring_up` asks the service, `_book` moves the money in the ledger. The payment's row is
locked before any sum is looked at, and its CHECK refuses more than was paid.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing import chargeback_books, invoices, ledger
from billing.accounts import Kind, account_of, platform_account, wallet_of
from billing.ledger import Leg, transfer_id
from billing.lifecycle import ChargebackStatus, PaymentStatus, RefundStatus, switch_refund
from billing.models import Payment, Refund, Transfer
from billing.payments import base
from billing.payments.services import service
from billing.states import TAKEN_BACK
from billing.taking_back import end_what_went_back, lock_payment, take_from_wallet
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.ids import decode_id
from lib.money import parse_amount

log = logging.getLogger(__name__)
OPEN = (RefundStatus.NEW, RefundStatus.SENT)
# A bank may take days over a refund. What is set aside for it is released long after that, should all else fail.
LONGEST_OPEN = timedelta(days=180)
OFTEN, SELDOM = timedelta(minutes=1), timedelta(minutes=30)
BATCH = 20


class NotYet(Exception):
    """The service tells of a refund that does not fit what is booked so far: look again later."""


@transaction.atomic
def request(*, payment: Payment, amount: Decimal | str, reason: str, actor: Actor, idempotency_key: str) -> Refund:
    """A refund of a payment, in part or in full, its money set aside. The same key gives the same refund.

    Raises Invalid for an amount that is more than is left, Conflict for a payment that is not paid, for a wallet that
    has spent the money, and for a key that was used for something else.
    """
    payment = lock_payment(payment.pk)
    sum_, reason = parse_amount(amount, currency=payment.currency), reason.strip()
    if not 1 <= len(reason) <= 200:
        raise Invalid(_("Say why."), fields={"reason": [_("Write a reason of up to 200 characters.")]})
    found = Refund.objects.filter(payment=payment, idempotency_key=idempotency_key).first()
    if found is not None:
        if (found.amount, found.reason) != (sum_, reason):
            raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
        return found
    if payment.status != PaymentStatus.CAPTURED:
        raise Conflict(_("Only what was paid can be refunded."), code="not_paid")
    _check_not_disputed(payment)
    if sum_ > payment.left:
        message = _("At most %(left)s is left to refund.") % {"left": f"{payment.left:.2f} {payment.currency}"}
        raise Invalid(message, code="refund_too_large", fields={"amount": [message]})
    refund = _create(payment, Refund.Origin.STAFF, sum_, reason=reason, idempotency_key=idempotency_key)
    _set_aside(refund)
    audit.record(payment.organisation_id, actor, "payment.refund", refund, {"amount": str(sum_), "reason": reason})
    return refund


def give_back(*, payment: Payment, amount: Decimal | str, reason: str, actor: Actor, idempotency_key: str) -> Refund:
    """`request` it and ask the service at once. When the service is away the reconciler goes on asking."""
    refund = request(payment=payment, amount=amount, reason=reason, actor=actor, idempotency_key=idempotency_key)
    try:
        return bring_up(refund.pk)
    except AppError as away:
        log.warning("refund %s waits: %s", refund.public_id, getattr(away, "detail", away.message))
        refund.refresh_from_db()
        return refund


def bring_up(refund_id: UUID) -> Refund:
    """Bring a refund up to what the service says. Safe to repeat: the service knows it by our row. Raises ServiceDown."""
    refund = Refund.objects.select_related("payment").get(pk=refund_id)
    if refund.status not in OPEN:
        return refund
    if refund.status == RefundStatus.NEW and not switch_refund(refund, RefundStatus.SENT, checked_at=now()):
        return bring_up(refund_id)
    try:
        remote = _ask(refund)
    except (base.Refused, base.Gone) as refusal:
        return _fail(refund.pk, str(refusal))
    if not _is_this(refund, remote):
        log.error("refund %s: the service answers another one, %s", refund.public_id, remote.ref)
        raise base.ServiceDown("another refund than the one asked for")
    return _apply(refund.pk, remote)


def book_from_service(slug: str, remote: base.Refund) -> Refund:
    """A refund that the service told us of: one of ours, or one that began there. Raises NotYet, NotFound."""
    refund = _find(slug, remote) or _take_up(slug, remote)
    if not _is_this(refund, remote):
        log.error("refund %s is not what the service says of %s", refund.public_id, remote.ref)
        raise NotFound(_("This refund is another one."), code="mismatch")
    return _apply(refund.pk, remote)


def reconcile_refunds() -> int:
    """Ask the services about refunds in between. Returns how many were asked about."""
    claimed = _claim()
    for refund in claimed:
        try:
            bring_up(refund.pk)
        except AppError as away:
            log.warning("refund %s waits: %s", refund.public_id, getattr(away, "detail", away.message))
        except Exception:  # one that cannot be brought up holds up no other
            log.exception("refund %s", refund.public_id)
    return len(claimed)


def _claim() -> list[Refund]:
    moment = now()
    due = (
        Q(checked_at=None, created_at__lt=moment - timedelta(seconds=30))
        | Q(checked_at__lt=moment - OFTEN, service_ref="")
        | Q(checked_at__lt=moment - SELDOM)
    )
    with transaction.atomic():
        waiting = Refund.objects.filter(due, status__in=OPEN).order_by(F("checked_at").asc(nulls_first=True))
        rows = list(waiting.select_for_update(skip_locked=True, no_key=True)[:BATCH])
        Refund.objects.filter(pk__in=[row.pk for row in rows]).update(checked_at=moment)
    return rows


def _ask(refund: Refund) -> base.Refund:
    remote = service(refund.service)
    if refund.service_ref:
        return remote.fetch_refund(refund.service_ref)
    return remote.refund(
        refund.payment.capture_ref,
        refund.amount,
        refund.currency,
        reference=refund.public_id,
        request_id=f"refund-{refund.pk.hex}",
    )


def _is_this(refund: Refund, remote: base.Refund) -> bool:
    given = (remote.capture_ref, remote.amount, remote.currency)
    return given == (refund.payment.capture_ref, refund.amount, refund.currency)


def _apply(refund_id: UUID, remote: base.Refund) -> Refund:
    if remote.status == "completed":
        return _book(refund_id, remote.ref)
    if remote.status == "failed":
        return _fail(refund_id, "failed")
    Refund.objects.filter(pk=refund_id).update(service_ref=remote.ref, checked_at=now())
    return Refund.objects.get(pk=refund_id)


def _find(slug: str, remote: base.Refund) -> Refund | None:
    known = Refund.objects.select_related("payment").filter(service=slug)
    try:
        ours = Q(pk=decode_id("rfd", remote.reference))
    except NotFound:
        ours = Q(pk=None)
    return known.filter(ours | Q(service_ref=remote.ref)).first()


@transaction.atomic
def _take_up(slug: str, remote: base.Refund) -> Refund:
    """A row for a refund that began at the service."""
    found = Payment.objects.filter(service=slug, capture_ref=remote.capture_ref).first()
    if found is None:
        raise NotYet("no payment with this capture")
    payment = lock_payment(found.pk)
    again = Refund.objects.filter(service=slug, service_ref=remote.ref).select_related("payment").first()
    if again is not None:
        return again
    if remote.amount > payment.left:
        raise NotYet("more than is left of the payment")
    return _create(payment, Refund.Origin.SERVICE, remote.amount, service_ref=remote.ref)


def _check_not_disputed(payment: Payment) -> None:
    """The service refuses it too, of the part that the bank has left as well."""
    if payment.chargebacks.filter(status__in=TAKEN_BACK).exists():
        message = _("The payer's bank has taken this payment back: it cannot be refunded as well.")
        raise Conflict(message, code="disputed")


def _create(payment: Payment, origin: str, amount: Decimal, **columns: str) -> Refund:
    _reserve(payment, amount)
    return Refund.objects.create(
        payment=payment, service=payment.service, origin=origin, amount=amount, currency=payment.currency, **columns
    )


def _reserve(payment: Payment, amount: Decimal) -> None:
    """Count it as refunded, or (a negative sum) no longer. The CHECK of the row has the last word."""
    Payment.objects.filter(pk=payment.pk).update(refunded=F("refunded") + amount)


def _set_aside(refund: Refund) -> None:
    """Hold a top-up's money in the wallet, so that it is not spent while the service thinks."""
    payment = refund.payment
    if payment.purpose != Payment.Purpose.TOP_UP:
        return
    wallet = wallet_of(payment.organisation, refund.currency)
    try:
        ledger.hold(
            id=_leg_id(refund, "hold"),
            debit=wallet.pk,
            credit=_clearing(refund),
            amount=refund.amount,
            currency=refund.currency,
            source_type="refund",
            source_id=str(refund.pk),
            expires_at=now() + LONGEST_OPEN,
            memo=refund.public_id,
        )
    except ledger.Overdraft:
        free = f"{ledger.available(wallet):.2f} {refund.currency}"
        message = _("The wallet has %(free)s left of it: refund at most that.") % {"free": free}
        raise Conflict(message, code="wallet_spent", fields={"amount": [message]}) from None


@transaction.atomic
def _book(refund_id: UUID, service_ref: str) -> Refund:
    """The service has given the money back: move it in the ledger and issue the credit note. Once."""
    payment = lock_payment(Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id))
    refund = Refund.objects.get(pk=refund_id)
    refund.payment = payment
    if refund.status == RefundStatus.COMPLETED:
        return refund
    if refund.status == RefundStatus.FAILED:
        if refund.amount > payment.left:
            raise NotYet("more than is left of the payment")
        _reserve(payment, refund.amount)
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=payment.organisation_id)
    _move(refund, organisation)
    moment = now()
    switch_refund(
        refund, RefundStatus.COMPLETED, service_ref=service_ref, error="", completed_at=moment, checked_at=moment
    )
    end_what_went_back(payment)
    invoices.issue_credit_note(payment, refund.amount, refund=refund)
    return refund


def _move(refund: Refund, organisation: Organisation) -> None:
    if refund.payment.purpose == Payment.Purpose.PLAN:
        id = _leg_id(refund, "plan")
        revenue = platform_account(Kind.REVENUE, refund.currency, id, label="plans")
        return ledger.post([_leg(refund, "plan", revenue.pk, refund.amount)])
    hold = Transfer.objects.filter(pk=_leg_id(refund, "hold"), settlements=None).first()
    if hold is not None:
        return ledger.post([ledger.settling_leg(hold, refund.amount, id=_leg_id(refund, "capture"))])
    # Nobody asked us before the money went back.
    lacking = take_from_wallet(organisation, refund.currency, refund.amount, partial(_leg, refund))
    if lacking:
        log.error("refund %s: %s of it was spent; the customer owes it", refund.public_id, lacking)


@transaction.atomic
def _fail(refund_id: UUID, error: str) -> Refund:
    """The service does not do it: the money is the customer's again."""
    payment = lock_payment(Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id))
    refund = Refund.objects.select_related("payment").get(pk=refund_id)
    if refund.status not in OPEN:
        return refund
    Organisation.objects.select_for_update(no_key=True).get(pk=payment.organisation_id)
    log.error("refund %s failed: %s", refund.public_id, error)
    switch_refund(refund, RefundStatus.FAILED, error=error[:64], checked_at=now())
    _reserve(payment, -refund.amount)
    hold = Transfer.objects.filter(pk=_leg_id(refund, "hold"), settlements=None).first()
    if hold is not None:
        ledger.release(hold.pk, id=_leg_id(refund, "release"))
    for chargeback in chargeback_books.count_again(payment):
        if chargeback.status == ChargebackStatus.LOST:
            chargeback_books.close_lost(chargeback, payment)
    return refund


def _leg(refund: Refund, step: str, debit: UUID, amount: Decimal) -> Leg:
    return Leg(
        id=_leg_id(refund, step),
        debit=debit,
        credit=_clearing(refund),
        amount=amount,
        currency=refund.currency,
        source_type="refund",
        source_id=str(refund.pk),
        memo=refund.public_id,
    )


def _leg_id(refund: Refund, step: str) -> UUID:
    return transfer_id("refund", refund.pk, step)


def _clearing(refund: Refund) -> UUID:
    return account_of(None, Kind.CLEARING, refund.currency, label=refund.service).pk
