"""A payment from its start until it is booked, the same for every payment service.

The service is asked with no transaction open, and what it says is checked against our own row: then it is booked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing import payment_methods, receipts
from billing.lifecycle import PaymentStatus, switch_payment
from billing.models import Payment, PaymentMethod, Plan, Subscription
from billing.payments import booking, turns
from billing.payments.base import Gone, NewOrder, Order, Refused, ServiceDown
from billing.payments.services import PAYPAL, service
from billing.subscriptions import LIVE
from lib.clock import now
from lib.errors import Conflict, Invalid
from lib.ids import new_id
from lib.money import parse_amount

log = logging.getLogger(__name__)
CURRENCY = "USD"
SMALLEST, LARGEST = Decimal(1), Decimal(10_000)
OPEN = {PaymentStatus.CREATED, PaymentStatus.APPROVED, PaymentStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be paid for; without a card, by PayPal. The rest is known before when a service renews a plan:
    `price_per_month` is what each month costs from then on."""

    purpose: str
    amount: Decimal
    plan: Plan | None = None
    card: PaymentMethod | None = None
    subscription: Subscription | None = None
    paid_from: datetime | None = None
    paid_until: datetime | None = None
    price_per_month: Decimal | None = None


def start(
    *,
    organisation: Organisation,
    purpose: str,
    plan: Plan | None = None,
    amount: Decimal | str | None = None,
    card: PaymentMethod | None = None,
    off_session: bool = False,
    return_url: str,
    cancel_url: str,
    actor: Actor,
    idempotency_key: str,
) -> Payment:
    """An order at the payment service, which the customer approves at `payment.approve_url`.

    A saved card of theirs is charged at once, unless its bank wants to ask at that address; `off_session`: nobody is
    there to be asked. `amount` of a plan is the price that they were shown, where they were. `{payment}` in the addresses
    becomes the payment's id. The same key gives the same payment. Raises Invalid, Conflict for a key that was used for
    something else, ServiceDown when nothing can be charged yet (then the same key may be tried again).
    """
    if not 1 <= len(idempotency_key) <= 120:
        raise Invalid(_("The idempotency key is not valid."))
    sum_ = price_of(plan, amount) if purpose == Payment.Purpose.PLAN else check_top_up(amount)
    if purpose == Payment.Purpose.PLAN:
        _check_not_renewed(organisation, idempotency_key)
    payment = find_or_make(organisation, Wanted(purpose, sum_, plan, card), actor, idempotency_key)
    if payment.status == PaymentStatus.NEW:
        _order(payment, return_url, cancel_url, off_session=off_session)
    if payment.method_id and not payment.approve_url:
        return complete_or_wait(payment)
    return payment


def complete_or_wait(payment: Payment) -> Payment:
    """`complete`, of an order that may be charged from now on: should the service not answer, the reconciler finds out,
    and nobody is told to try again, which would be a second payment."""
    try:
        return complete(payment.pk)
    except ServiceDown as failure:
        log.warning("payment %s: %s", payment.public_id, failure.detail)
    payment.refresh_from_db()
    return payment


def _check_not_renewed(organisation: Organisation, key: str) -> None:
    """A month that is paid beside a plan that renews itself would be paid twice. What has begun goes on."""
    begun = Payment.objects.filter(organisation=organisation, idempotency_key=key).exclude(status=PaymentStatus.NEW)
    renewed = Subscription.objects.filter(organisation=organisation, status__in=LIVE, cancel_at_period_end=False)
    if renewed.exclude(service="").exists() and not begun.exists():
        raise Conflict(_("Your plan renews itself: change or cancel it instead."), code="renews_already")
    if turns.is_under_way(organisation) and not begun.exists():
        raise turns.under_way()


def _order(payment: Payment, return_url: str, cancel_url: str, *, off_session: bool) -> None:
    """Make it at the service, and remember it before anything is charged."""
    order = NewOrder(
        reference=payment.public_id,
        amount=payment.amount,
        currency=payment.currency,
        description=receipts.describe(payment),
        return_url=return_url.replace("{payment}", payment.public_id),
        cancel_url=cancel_url.replace("{payment}", payment.public_id),
        customer_ref=payment_methods.customer_of(payment.organisation) if payment.method else "",
        card_ref=payment.method.ref if payment.method else "",
        off_session=off_session,
    )
    try:
        made = service(payment.service).create(order, request_id=f"create-{payment.pk.hex}")
    except (Refused, Gone) as refusal:
        switch_payment(payment, PaymentStatus.FAILED, reason=str(refusal)[:48])
        raise Conflict(_("The payment service refused this payment."), code="payment_refused") from refusal
    if not made.approve_url and made.status != "approved":
        raise ServiceDown("an order without a page to approve it")
    switch_payment(payment, PaymentStatus.CREATED, order_ref=made.ref, approve_url=made.approve_url)
    payment.refresh_from_db()


class Addresses(TypedDict):
    return_url: str
    cancel_url: str


def own_pages() -> Addresses:
    """The addresses for `start` of a payment that returns to the billing pages."""
    back = settings.PUBLIC_URL + reverse("billing:return", args=["PAYMENT"]).replace("PAYMENT", "{payment}")
    return {"return_url": back, "cancel_url": f"{back}?cancelled=1"}


def complete(payment_id: UUID) -> Payment:
    """Bring a payment up to what the service says, and take the money when the customer has approved.

    Safe to call at any time and as often as one likes: from the return page, a notification or the reconciler.
    """
    payment = Payment.objects.select_related("organisation", "plan", "subscription").get(pk=payment_id)
    if payment.status not in OPEN or not payment.order_ref:
        return payment
    try:
        order = _settled_order(payment)
    except Gone:
        return give_up(payment, "expired")
    except Refused as refusal:
        return _fail(payment, refusal.issue)
    if not _is_ours(payment, order):
        return _fail(payment, "mismatch")
    if order.status == "voided":
        return give_up(payment, "called_off" if turns.is_called_off(payment) else "voided")
    capture = order.captures[0] if order.captures else None
    if capture is not None and capture.status in {"completed", "refunded"}:  # what went back is booked by itself
        return booking.book(payment.pk, order, capture)
    if capture is not None and capture.status == "declined":
        return _decline(payment, capture.reason or "declined")
    if order.status in {"open", "approved"} and turns.is_called_off(payment):
        return give_up(payment, "called_off")
    if order.approve_url and payment.method_id and payment.status == PaymentStatus.APPROVED:
        switch_payment(payment, PaymentStatus.CREATED)  # the card's bank asks: until then it holds up no other
    Payment.objects.filter(pk=payment.pk).update(checked_at=now(), approve_url=order.approve_url or payment.approve_url)
    payment.refresh_from_db()
    return payment


def find_by_capture(slug: str, capture_ref: str) -> Payment | None:
    """The payment of a capture, booked: when we died between the two, now. Raises Gone, ServiceDown."""
    booked = Payment.objects.filter(service=slug, capture_ref=capture_ref).first()
    if booked is not None:
        return booked
    order_ref = service(slug).find_order(capture_ref)
    payment = Payment.objects.filter(service=slug, order_ref=order_ref).first() if order_ref else None
    return complete(payment.pk) if payment else None


def cancel(payment_id: UUID) -> Payment:
    """The customer turned back at the service. Should they approve after all, the payment is still booked."""
    payment = Payment.objects.get(pk=payment_id)
    if payment.status == PaymentStatus.CREATED:
        give_up(payment, "by_customer")
    return payment


def give_up(payment: Payment, reason: str) -> Payment:
    """No longer wait for the customer."""
    if payment.status == PaymentStatus.CREATED:
        switch_payment(payment, PaymentStatus.CANCELLED, reason=reason, checked_at=now())
    elif payment.status == PaymentStatus.APPROVED:
        switch_payment(payment, PaymentStatus.FAILED, reason=reason, checked_at=now())
    payment.refresh_from_db()
    return payment


def check_top_up(amount: Decimal | str | None) -> Decimal:
    """A sum that can be paid in. Raises Invalid beside the field `amount`."""
    sum_ = parse_amount(amount if amount is not None else "", currency=CURRENCY)
    if not SMALLEST <= sum_ <= LARGEST:
        bounds = {"smallest": SMALLEST, "largest": f"{LARGEST:,}"}
        message = _("Choose an amount between $%(smallest)s and $%(largest)s.") % bounds
        raise Invalid(message, code="amount_out_of_range", fields={"amount": [message]})
    return sum_


def price_of(plan: Plan | None, shown: Decimal | str | None = None) -> Decimal:
    """What a month costs. Raises Invalid for a plan that is not paid for by the month, Conflict when it is not `shown`."""
    if plan is None:
        raise Invalid(_("Choose a plan."), fields={"plan": [_("Choose a plan.")]})
    if plan.price_per_month is None:
        raise Invalid(_("This plan is by contract: write to us."), code="plan_by_contract")
    if not plan.price_per_month:
        raise Invalid(_("This plan is free."), code="plan_free", fields={"plan": [_("Nothing to pay.")]})
    if shown is not None and parse_amount(shown, currency=CURRENCY) != plan.price_per_month:
        raise Conflict(_("The price has changed: look at the plans again."), code="offer_changed")
    return plan.price_per_month


def find_or_make(organisation: Organisation, wanted: Wanted, actor: Actor, key: str) -> Payment:
    """The row of a payment. Raises Conflict for a key that was used for something else."""
    same = Payment.objects.filter(organisation=organisation, idempotency_key=key)
    found = same.first()
    if found is None:
        try:
            return _make(organisation, wanted, actor, key)
        except IntegrityError:  # the same request came twice at once
            found = same.get()
    given = (found.purpose, found.plan_id, found.amount, found.method_id, found.price_per_month)
    ids = (wanted.plan.pk if wanted.plan else None, wanted.amount, wanted.card.pk if wanted.card else None)
    if given != (wanted.purpose, *ids, wanted.price_per_month):
        raise key_was_used()
    return found


def key_was_used() -> Conflict:
    return Conflict(_("This key was used for another request."), code="idempotency_conflict")


@transaction.atomic
def _make(organisation: Organisation, wanted: Wanted, actor: Actor, key: str) -> Payment:
    payment = Payment.objects.create(
        id=new_id(),
        organisation=organisation,
        service=wanted.card.service if wanted.card else PAYPAL,
        method=wanted.card,
        purpose=wanted.purpose,
        plan=wanted.plan,
        subscription=wanted.subscription,
        paid_from=wanted.paid_from,
        paid_until=wanted.paid_until,
        amount=wanted.amount,
        price_per_month=wanted.price_per_month,
        currency=CURRENCY,
        status=PaymentStatus.NEW,
        idempotency_key=key,
    )
    about = {"purpose": wanted.purpose, "amount": str(wanted.amount)}
    audit.record(organisation.pk, actor, "payment.start", payment, about)
    return payment


def _settled_order(payment: Payment) -> Order:
    """The order as the service has it, captured if it was approved; cancelled there too, if it was called off here: a
    bank that asks its customer would take the money without us."""
    remote = service(payment.service)
    order = remote.fetch(payment.order_ref)
    if not _is_ours(payment, order):
        return order
    if order.status in {"open", "approved"} and turns.is_called_off(payment):
        return remote.cancel(payment.order_ref)
    if order.status != "approved" or not turns.take(payment):
        return order
    return remote.capture(payment.order_ref, request_id=f"capture-{payment.pk.hex}")


def _is_ours(payment: Payment, order: Order) -> bool:
    """Whether the order is the one that we asked for: this payment's, of this sum, in this currency."""
    given = [(order.amount, order.currency), *((capture.amount, capture.currency) for capture in order.captures)]
    wanted = (payment.amount, payment.currency)
    # The orders of renewals are made by the service itself: they carry no reference, and `renewals` has bound them.
    known = {payment.public_id, ""} if payment.subscription_id else {payment.public_id}
    return order.reference in known and order.ref == payment.order_ref and set(given) == {wanted}


def _decline(payment: Payment, reason: str) -> Payment:
    """Nothing was taken, and the customer is told why."""
    if payment.status != PaymentStatus.CANCELLED:
        switch_payment(payment, PaymentStatus.FAILED, reason=reason[:48], checked_at=now())
    payment.refresh_from_db()
    return payment


def _fail(payment: Payment, reason: str) -> Payment:
    """Nothing is booked. Whether the service took money anyway is for a person to see: it is logged as an error."""
    log.error("payment %s failed: %s", payment.public_id, reason)
    return _decline(payment, reason)
