"""Payments that nobody came back from, notifications that were not worked on, and the books against the services."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum

from billing import chargeback_books, chargebacks, dunning, payment_methods, refunds
from billing.chain.books import expected_clearing
from billing.lifecycle import PaymentStatus, RefundStatus, switch_payment
from billing.models import Account, Payment, Payout, Refund, Subscription, WebhookEvent
from billing.payments import checkout
from billing.payments.base import Gone, ServiceDown
from billing.payments.paypal import sales as paypal_sales
from billing.payments.paypal import webhook as paypal_webhook
from billing.payments.services import PAYPAL, STRIPE, service
from billing.payments.stripe import webhook as stripe_webhook
from billing.payouts import methods, sending
from billing.payouts.books import expected_clearing as expected_payouts
from billing.refunds import NotYet
from lib.clock import now
from lib.errors import NotFound

log = logging.getLogger(__name__)
BATCH, EVENTS = 20, 200
LONGEST_RUN_S = 45  # the next tick goes on
LONGEST_TRIED = timedelta(days=7)
FRESH = timedelta(minutes=30)  # the customer may be on the approve page right now
OFTEN = timedelta(minutes=1)
SELDOM = timedelta(minutes=15)
# PayPal forgets an order that nobody approved after some hours; what it still knows by then is given up.
LONGEST_OPEN = timedelta(hours=24)
ORDER_OF = {PAYPAL: paypal_webhook.order_of, STRIPE: stripe_webhook.order_of}
REFUND_OF = {PAYPAL: paypal_webhook.refund_of, STRIPE: stripe_webhook.refund_of}
SUBSCRIPTION_OF = {PAYPAL: paypal_webhook.subscription_of, STRIPE: stripe_webhook.subscription_of}
PAYOUT_OF = {PAYPAL: paypal_webhook.payout_of, STRIPE: stripe_webhook.payout_of}


def reconcile_payments() -> int:
    """Ask the services about payments in between. Returns how many were asked about."""
    asked, until = 0, monotonic() + LONGEST_RUN_S
    while monotonic() < until:
        claimed = _claim()
        for payment in claimed:
            _bring_up_quietly(payment)
        asked += len(claimed)
        if len(claimed) < BATCH:
            break
    return asked


def _bring_up_quietly(payment: Payment) -> None:
    """One that cannot be brought up holds up no other."""
    try:
        _bring_up(payment)
    except ServiceDown as failure:
        log.warning("payment %s: %s", payment.public_id, failure.detail)
    except Exception:
        log.exception("payment %s", payment.public_id)


def _claim() -> list[Payment]:
    """Open payments that are due. Marking them as asked keeps another worker off until their next turn."""
    moment = now()
    due = (
        Q(checked_at=None)
        | Q(checked_at__lt=moment - SELDOM)
        | Q(checked_at__lt=moment - OFTEN, created_at__gt=moment - FRESH)
        | Q(checked_at__lt=moment - OFTEN, created_at__gt=moment - LONGEST_OPEN, status=PaymentStatus.APPROVED)
    )
    statuses = [PaymentStatus.NEW, PaymentStatus.CREATED, PaymentStatus.APPROVED]
    # A payment that is being started has no order for a moment.
    waiting = Payment.objects.filter(due, status__in=statuses, created_at__lt=moment - timedelta(seconds=30))
    with transaction.atomic():
        rows = list(
            waiting.order_by(F("checked_at").asc(nulls_first=True)).select_for_update(skip_locked=True, no_key=True)[
                :BATCH
            ]
        )
        Payment.objects.filter(pk__in=[row.pk for row in rows]).update(checked_at=moment)
    return rows


def _bring_up(payment: Payment) -> None:
    old = payment.created_at < now() - LONGEST_OPEN
    if payment.status == PaymentStatus.NEW:
        # Never heard of an order: the customer was not sent anywhere, so that nothing can be paid.
        if old:
            switch_payment(payment, PaymentStatus.CANCELLED, reason="never_started")
        return
    payment = checkout.complete(payment.pk)
    # What the customer has approved may take the payer's bank days: the service says how it ends.
    if old and payment.status == PaymentStatus.CREATED:
        checkout.give_up(payment, "expired")


def waiting_events() -> list[int]:
    """Notifications whose task was lost, in no order: some that never come to an end must not hold up the others."""
    late = WebhookEvent.objects.filter(processed_at=None, received_at__lt=now() - timedelta(minutes=1))
    return list(late.order_by("?").values_list("pk", flat=True)[:EVENTS])


def process_late_events() -> None:
    until = monotonic() + LONGEST_RUN_S
    for event_id in waiting_events():
        if monotonic() >= until:
            break
        process_quietly(event_id)


def process_quietly(event_id: int) -> None:
    """`process_event`; one that fails stays in the inbox, and the others do not wait for it."""
    try:
        process_event(event_id)
    except ServiceDown as failure:
        log.warning("event %s waits: %s", event_id, failure.detail)
    except Exception:
        log.exception("event %s", event_id)


def process_event(event_id: int) -> None:
    """Look at what an event names, by asking the service. Raises what hinders it, and it is tried again later; after
    days of that it is given up, and its error says why."""
    event = WebhookEvent.objects.get(pk=event_id)
    if event.processed_at is not None:
        return
    try:
        error = _act_on(event)
    except Exception as failure:
        if event.received_at > now() - LONGEST_TRIED:
            raise
        log.exception("event %s is given up", event_id)
        error = f"given up: {getattr(failure, 'detail', None) or repr(failure)}"
    if error is not None:
        WebhookEvent.objects.filter(pk=event.pk).update(processed_at=now(), error=error[:300])


def _act_on(event: WebhookEvent) -> str | None:
    """What staff should know, or nothing; None when it is too early to say."""
    if refund_ref := REFUND_OF[event.service](event.body):
        return _book_what_went_back(event, "refund", lambda: _book_refund(event.service, refund_ref))
    if event.service == STRIPE and (chargeback_ref := stripe_webhook.chargeback_of(event.body)):
        return _book_what_went_back(event, "dispute", lambda: _hear_chargeback(event.service, chargeback_ref))
    if event.service == STRIPE and (customer_ref := stripe_webhook.customer_of(event.body)):
        payment_methods.refresh_of(customer_ref)
        return ""
    if subscription_ref := SUBSCRIPTION_OF[event.service](event.body):
        _look_at_subscription(event, subscription_ref)
        return ""
    if payout_ref := PAYOUT_OF[event.service](event.body):
        for payout in Payout.objects.filter(kind=event.service, service_ref=payout_ref):
            sending.bring_up(payout.pk)
        return ""
    if event.service == STRIPE and (payee_ref := stripe_webhook.payee_of(event.body)):
        methods.hear_of_stripe(payee_ref)
        return ""
    order_ref = ORDER_OF[event.service](event.body)
    if not order_ref:
        return ""
    payment = Payment.objects.filter(service=event.service, order_ref=order_ref).first()
    if payment is None:
        return "no payment with this order"
    checkout.complete(payment.pk)
    return ""


def _look_at_subscription(event: WebhookEvent, ref: str) -> None:
    found = Subscription.objects.filter(service=event.service, service_ref=ref).select_related("organisation", "plan")
    for subscription in found:
        dunning.look(subscription)


def _book_what_went_back(event: WebhookEvent, noun: str, book: Callable[[], str]) -> str | None:
    """Money went back at the service, whoever asked for it."""
    try:
        return book()
    except NotYet as reason:
        return None if event.received_at > now() - LONGEST_OPEN else str(reason)
    except Gone:
        return f"the service does not know this {noun}"
    except NotFound:
        return f"not the {noun} that we asked for"


def _book_refund(slug: str, refund_ref: str) -> str:
    """First what came in, then what went back."""
    refund = service(slug).fetch_refund(refund_ref)
    renewed = slug == STRIPE or paypal_sales.is_sale(refund.capture_ref)  # we may not have looked at it yet
    if checkout.find_by_capture(slug, refund.capture_ref) is None and not renewed:
        return "no payment with this capture"
    refunds.book_from_service(slug, refund)
    return ""


def _hear_chargeback(slug: str, ref: str) -> str:
    chargebacks.hear(slug, ref)
    return ""


def check_clearing() -> list[str]:
    """Whether what the services took for us, less what they gave back, is what the ledger says they owe us."""
    paid = Counter[tuple[str, str]]()
    for row in _sums(Payment.objects.filter(status=PaymentStatus.CAPTURED)):
        paid[row["service"], row["currency"]] += row["total"]
    for row in _sums(Refund.objects.filter(status=RefundStatus.COMPLETED)):
        paid[row["service"], row["currency"]] -= row["total"]
    paid.update(expected_clearing())
    paid.update(chargeback_books.expected_clearing())
    paid.update(expected_payouts())
    booked = {
        (row["label"], row["currency"]): row["total"]
        for row in Account.objects.filter(kind=Account.Kind.CLEARING)
        .values("label", "currency")
        .annotate(total=Sum(F("debits_posted") - F("credits_posted")))
    }
    return [
        f"clearing {service} {currency}: payments say {paid.get((service, currency), 0)}, "
        f"the ledger {booked.get((service, currency), 0)}"
        for service, currency in sorted(paid.keys() | booked.keys())
        if paid.get((service, currency), 0) != booked.get((service, currency), 0)
    ]


def _sums(rows: QuerySet[Payment] | QuerySet[Refund]) -> Any:
    return rows.values("service", "currency").annotate(total=Sum("amount"))
