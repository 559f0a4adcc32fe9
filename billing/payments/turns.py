"""Of all the pages of services at which a customer could pay for a plan, the first that they agree at is taken.

A customer may have several open at once: in two windows, or since they went back. When one is paid the others are called
off: what is agreed to there after it is not captured and begins nothing.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing.lifecycle import PaymentStatus, SubscriptionStatus, switch_payment
from billing.models import Payment, Subscription
from lib.errors import Conflict


@transaction.atomic
def take(payment: Payment) -> bool:
    """Whether the money of an approved order may be asked for. One is asked for at a time, and the others wait: it is
    `approved` until the service has answered, or the card's bank asks the customer at a page of its own."""
    payment.refresh_from_db(from_queryset=Payment.objects.select_for_update(no_key=True))  # first, as who books it does
    Organisation.objects.select_for_update(no_key=True).get(pk=payment.organisation_id)
    if is_called_off(payment):
        return False
    if payment.status == PaymentStatus.APPROVED:
        return True
    if payment.status not in {PaymentStatus.CREATED, PaymentStatus.CANCELLED}:
        return False
    if payment.purpose == Payment.Purpose.PLAN and _others(payment).filter(status=PaymentStatus.APPROVED).exists():
        return False
    return switch_payment(payment, PaymentStatus.APPROVED)


def is_called_off(payment: Payment) -> bool:
    """A plan was paid for at another page since this one was opened; or what it was to begin was ended, as another one was
    begun in its place or nobody came back for long."""
    if Subscription.objects.filter(payments=payment, status=SubscriptionStatus.ENDED).exists():
        return True
    if payment.purpose != Payment.Purpose.PLAN or payment.status == PaymentStatus.APPROVED:
        return False
    return is_overtaken(payment)


def is_overtaken(payment: Payment) -> bool:
    """Another one was paid for since this one was opened."""
    return _others(payment).filter(captured_at__gt=payment.created_at).exists()


def is_under_way(organisation: Organisation) -> bool:
    """The first month of a plan that renews itself was agreed to, and is still with the payer's bank."""
    waiting = Payment.objects.filter(organisation=organisation, status=PaymentStatus.APPROVED)
    return waiting.filter(subscription__status=SubscriptionStatus.PENDING).exists()


def under_way() -> Conflict:
    message = _("The first payment of your plan is under way: the plan begins when it arrives.")
    return Conflict(message, code="in_progress")


def _others(payment: Payment) -> QuerySet[Payment]:
    same = Payment.objects.filter(organisation=payment.organisation_id, purpose=Payment.Purpose.PLAN)
    return same.exclude(pk=payment.pk)
