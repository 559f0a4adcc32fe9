"""The only writer of `Payment.status` and `Subscription.status`: the table of states, and compare-and-set."""

from __future__ import annotations

from typing import Any

from billing.models import Payment, Subscription
from billing.states import (
    PAYMENT_TRANSITIONS,
    SUBSCRIPTION_TRANSITIONS,
    PaymentStatus,
    SubscriptionStatus,
)
from lib.push import organisation_group, push

__all__ = ["PaymentStatus", "SubscriptionStatus", "switch_payment", "switch_subscription"]


class WrongTransition(Exception):
    """The table of states does not allow this change."""


def switch_payment(payment: Payment, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `payment` was read, with `columns`; False when somebody else was first."""
    if to not in PAYMENT_TRANSITIONS[payment.status]:
        raise WrongTransition(f"payment {payment.status} → {to}")
    same = Payment.objects.filter(pk=payment.pk, status=payment.status)
    if not same.update(status=to, reason=reason, **columns):
        return False
    payment.refresh_from_db()
    push(
        organisation_group(payment.organisation_id), {"type": "payment.changed", "id": payment.public_id, "status": to}
    )
    return True


def switch_subscription(subscription: Subscription, to: str, **columns: Any) -> bool:
    """Change the status as `subscription` was read, with `columns`; False when somebody else was first."""
    if to not in SUBSCRIPTION_TRANSITIONS[subscription.status]:
        raise WrongTransition(f"subscription {subscription.status} → {to}")
    same = Subscription.objects.filter(pk=subscription.pk, status=subscription.status)
    if not same.update(status=to, **columns):
        return False
    subscription.refresh_from_db()
    return True
