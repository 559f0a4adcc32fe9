"""What refunds and chargebacks share: money of a payment that has left us, and what was paid for with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, account_of, wallet_of
from billing.ledger import Leg
from billing.lifecycle import ChargebackStatus, PaymentStatus, RefundStatus, SubscriptionStatus
from billing.models import Payment, Subscription
from billing.subscriptions import end_at_once
from lib.clock import now
from lib.leases import hint

log = logging.getLogger(__name__)
TRIES = 5
# The leg of a step, out of an account, for a sum.
MakeLeg = Callable[[str, UUID, Decimal], Leg]


def take_from_wallet(organisation: Organisation, currency: str, amount: Decimal, leg: MakeLeg) -> Decimal:
    """What the wallet lacks the customer owes us from now on; that sum is answered. In the caller's transaction."""
    wallet, owed = wallet_of(organisation, currency), account_of(organisation, Kind.OWED_TO_US, currency)
    for _attempt in range(TRIES):  # pods may spend from the wallet between our look and our posting
        there = max(Decimal(0), min(amount, ledger.available(wallet)))
        shares = {"wallet": (wallet.pk, there), "owed": (owed.pk, amount - there)}
        try:
            ledger.post([leg(step, pk, share) for step, (pk, share) in shares.items() if share])
        except ledger.Overdraft:
            continue
        return amount - there
    ledger.post([leg("owed", owed.pk, amount)])
    return amount


def lock_payment(payment_id: UUID) -> Payment:
    rows = Payment.objects.select_for_update(no_key=True, of=("self",)).select_related("organisation", "plan")
    return rows.get(pk=payment_id)


def end_what_went_back(payment: Payment) -> None:
    """What was paid for ends when all of the sum is gone: refunded, or lost to the payer's bank."""
    refunded = payment.refunds.filter(status=RefundStatus.COMPLETED).aggregate(total=Sum("amount"))["total"]
    lost = payment.chargebacks.filter(status=ChargebackStatus.LOST).aggregate(total=Sum("counted"))["total"]
    if (refunded or 0) + (lost or 0) == payment.amount:
        _end_what_was_paid(payment)


def _end_what_was_paid(payment: Payment) -> None:
    """A plan's month that was given back: later ones that are paid move up, without any the subscription ends.

    What an upgrade cost was paid on top of a month that is still paid: its plan is the one that goes on.
    """
    moment, subscription = now(), payment.subscription
    if subscription is None or payment.paid_from is None or payment.paid_until is None:
        return
    if subscription.status != SubscriptionStatus.ACTIVE or subscription.period_end is None:
        return
    if payment.paid_until <= moment:
        return  # it was used long before
    beneath = _paid_beneath(payment, subscription) if payment.is_upgrade else None
    if beneath is not None:
        _fall_back(subscription, beneath)
        return
    for upgrade in upgrades_upon(payment):
        log.error("payment %s has gone back: upgrade %s upon it is still paid", payment.public_id, upgrade.public_id)
    end = subscription.period_end - (payment.paid_until - payment.paid_from)
    if end > moment:
        Subscription.objects.filter(pk=subscription.pk).update(period_end=end)
    else:
        end_at_once(subscription)


def upgrades_upon(payment: Payment) -> list[Payment]:
    """What was paid on top of this month and is still paid. It is a person's to give back with it: how much, they say."""
    if payment.subscription is None or payment.paid_until is None:
        return []
    rest = _still_paid(payment.subscription).filter(paid_until=payment.paid_until, paid_from__gte=payment.paid_from)
    return [row for row in rest.exclude(pk=payment.pk).order_by("pk") if row.is_upgrade]


def _still_paid(subscription: Subscription) -> QuerySet[Payment]:
    return subscription.payments.filter(status=PaymentStatus.CAPTURED, refunded__lt=F("amount") - F("charged_back"))


def _paid_beneath(payment: Payment, subscription: Subscription) -> Payment | None:
    """What of the month that `payment` was paid on top of is still paid: its newest upgrade, or else itself."""
    rest = _still_paid(subscription).exclude(pk=payment.pk)
    covering = rest.filter(paid_from__lte=now(), paid_until__gt=now())
    return covering.order_by("-paid_from", "-pk").first()


def _fall_back(subscription: Subscription, beneath: Payment) -> None:
    """To the plan that is still paid, at the price that was agreed for it."""
    columns: dict[str, Any] = {"plan": beneath.plan, "price_per_month": beneath.price_per_month}
    if subscription.next_plan_id == beneath.plan_id:
        columns |= {"next_plan": None, "next_price_per_month": None}
    Subscription.objects.filter(pk=subscription.pk).update(**columns)
    hint(Subscription, subscription.pk)  # the service is told what to renew
