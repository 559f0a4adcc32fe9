"""What payment services have collected for plans that they renew: booked, once; and taken over here.

Each collected invoice becomes a `Payment` and goes through `checkout.complete`, as every payment does. It is booked only
when its sum is the one that the customer has agreed to, whatever the plan is sold for by now: another one fails there as
a `mismatch`, which the comparison with the service shows to staff.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.urls import reverse

from accounts import actor as actors
from billing import payment_methods
from billing.lifecycle import PaymentStatus, SubscriptionStatus, switch_payment, switch_subscription
from billing.models import Payment, Plan, Subscription
from billing.payments import checkout
from billing.payments.base import Gone, Refused, RemoteInvoice, RemoteSubscription, ServiceDown, SubscriptionService
from billing.payments.checkout import CURRENCY, Wanted
from billing.payments.services import renewals
from lib.clock import now

log = logging.getLogger(__name__)
# How long a customer may think at the page of a service, before nobody waits for them any more.
LONGEST_THOUGHT = timedelta(hours=24)


def sync(subscription: Subscription) -> RemoteInvoice | None:
    """Book what the service has collected, and take over what it says of the subscription. Safe to repeat.

    Answers the invoice that was tried and is not paid, if any: for dunning. Raises ServiceDown.
    """
    remote = renewals(subscription.service)
    try:
        theirs, invoices = (
            remote.fetch_subscription(subscription.service_ref),
            remote.invoices(subscription.service_ref),
        )
    except Gone:
        raise ServiceDown("the service does not know this subscription") from None
    if not remote.by_card:
        _take_over_next(subscription, theirs)
    for invoice in reversed(invoices):
        if invoice.state == "paid" and invoice.amount > 0:
            _book(subscription, theirs, invoice, by_card=remote.by_card)
    subscription.refresh_from_db()
    _take_over_state(subscription, theirs, remote)
    if remote.by_card:
        _agree_on_next(subscription, theirs)
    return next((invoice for invoice in invoices if invoice.state == "open" and invoice.tried), None)


def _take_over_state(subscription: Subscription, theirs: RemoteSubscription, remote: SubscriptionService) -> None:
    ours = subscription.status
    if ours == SubscriptionStatus.PENDING and _never_began(subscription, theirs):
        remote.end(subscription.service_ref)
        switch_subscription(subscription, SubscriptionStatus.ENDED, ended_at=now())
    elif theirs.state == "ended" and ours != SubscriptionStatus.ENDED:
        switch_subscription(subscription, SubscriptionStatus.ENDED, ended_at=now())
    elif ours == SubscriptionStatus.ENDED and theirs.state != "ended":
        remote.end(subscription.service_ref)
    elif theirs.ends_with_period != subscription.cancel_at_period_end and theirs.state == "active":
        Subscription.objects.filter(pk=subscription.pk).update(cancel_at_period_end=theirs.ends_with_period)
        subscription.refresh_from_db()


def _never_began(subscription: Subscription, theirs: RemoteSubscription) -> bool:
    """Its first month could not be collected, or nobody came back from the page of the service."""
    if theirs.state == "past_due":
        return True
    return theirs.state == "waiting" and subscription.created_at < now() - LONGEST_THOUGHT


def _take_over_next(subscription: Subscription, theirs: RemoteSubscription) -> None:
    """What a customer has agreed to at the service is what comes next."""
    subscription.refresh_from_db()
    agreed = Plan.objects.filter(pk=theirs.plan).exclude(pk=subscription.plan_id).first()
    price = theirs.amount if agreed else None
    known = (subscription.next_plan, subscription.next_price_per_month)
    if subscription.status == SubscriptionStatus.ACTIVE and (agreed, price) != known:
        Subscription.objects.filter(pk=subscription.pk).update(next_plan=agreed, next_price_per_month=price)


def _agree_on_next(subscription: Subscription, theirs: RemoteSubscription) -> None:
    """What is renewed at the service is what we have promised, also after a lost answer. While a renewal is being
    collected nothing is changed; one that has failed stays as it is, and the next one is as promised."""
    plan, price = subscription.agreed[0]
    paid = subscription.status == SubscriptionStatus.ACTIVE and theirs.settled and theirs.state == "active"
    failed = subscription.status == SubscriptionStatus.PAST_DUE and theirs.state == "past_due"
    if not (paid or failed):
        return
    if (theirs.plan, theirs.amount) == (plan.pk, price):
        return
    try:
        renewals(subscription.service).change_next(theirs, price_ref(subscription, plan, price), return_url=plan_page())
    except (Refused, Gone) as refusal:
        log.error("subscription %s is renewed as another plan: %s", subscription.public_id, refusal)


def _book(subscription: Subscription, theirs: RemoteSubscription, invoice: RemoteInvoice, *, by_card: bool) -> None:
    if not invoice.order_ref:  # paid from a balance, or marked as paid: an empty reference is that of any new payment
        log.error("subscription %s: %s was paid without an order", subscription.public_id, invoice.ref)
        return
    found = Payment.objects.filter(service=subscription.service, order_ref=invoice.order_ref).first()
    payment = found or _payment_for(subscription, theirs, invoice, by_card=by_card)
    if payment is None or payment.status == PaymentStatus.CAPTURED:
        return
    if payment.status == PaymentStatus.FAILED:
        # What came in for it is a person's to give back.
        log.error("payment %s has failed, and %s was collected for it", payment.public_id, invoice.ref)
        return
    if payment.status == PaymentStatus.NEW:
        switch_payment(payment, PaymentStatus.CREATED, order_ref=invoice.order_ref)
    checkout.complete(payment.pk)


def _payment_for(
    subscription: Subscription, theirs: RemoteSubscription, invoice: RemoteInvoice, *, by_card: bool
) -> Payment | None:
    """Of a renewal a new row, of the sum that we expect; of a change that we asked for its own, by the reference."""
    if invoice.reason == "subscription_cycle":
        return _renewal(subscription, theirs, invoice, by_card=by_card)
    asked = Payment.objects.filter(subscription=subscription, status=PaymentStatus.NEW, order_ref="")
    found = next((row for row in asked if row.public_id == invoice.reference), None)
    if found is None:
        log.error("subscription %s: an invoice that nobody expects, %s", subscription.public_id, invoice.ref)
    return found


def _renewal(
    subscription: Subscription, theirs: RemoteSubscription, invoice: RemoteInvoice, *, by_card: bool
) -> Payment:
    subscription.refresh_from_db()
    plan, price = _expected(subscription, theirs, invoice)
    card = (payment_methods.default_of(subscription.organisation) or subscription.method) if by_card else None
    wanted = Wanted("plan", price, plan, card, subscription, invoice.period_start, invoice.period_end, price)
    key = f"invoice-{invoice.ref}"
    known = Payment.objects.filter(organisation=subscription.organisation, idempotency_key=key).first()
    return known or checkout.find_or_make(subscription.organisation, wanted, actors.worker("renewals"), key)


def _expected(subscription: Subscription, theirs: RemoteSubscription, invoice: RemoteInvoice) -> tuple[Plan, Decimal]:
    """The plan of a renewal and its agreed price: of the running one and the one that waits, that whose price it is. With
    a sum that is neither's it is what the service should have collected."""
    agreed = sorted(subscription.agreed, key=lambda row: row[0].pk != theirs.plan)
    return next((row for row in agreed if row[1] == invoice.amount), agreed[0])


def running(subscription: Subscription) -> RemoteSubscription:
    """As the service has it now. Raises Gone, ServiceDown."""
    return renewals(subscription.service).fetch_subscription(subscription.service_ref)


def price_ref(subscription: Subscription, plan: Plan, price: Decimal) -> str:
    """The name that the service gives the price of a plan."""
    return renewals(subscription.service).price(plan.pk, plan.name, price, CURRENCY)


def plan_page() -> str:
    """Where a customer comes back to from the service."""
    return settings.PUBLIC_URL + reverse("billing:plan")
