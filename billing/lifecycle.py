"""The only writer of the status of what billing has: the tables of states, and compare-and-set."""

from __future__ import annotations

from typing import Any

from billing.models import Chargeback, Deposit, Dispute, Payment, Payout, Referral, Refund, Subscription, Withdrawal
from billing.states import (
    CHARGEBACK_TRANSITIONS,
    DEPOSIT_TRANSITIONS,
    DISPUTE_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    PAYOUT_TRANSITIONS,
    REFERRAL_TRANSITIONS,
    REFUND_TRANSITIONS,
    SUBSCRIPTION_TRANSITIONS,
    WITHDRAWAL_TRANSITIONS,
    ChargebackStatus,
    DepositStatus,
    DisputeStatus,
    PaymentStatus,
    PayoutStatus,
    ReferralStatus,
    RefundStatus,
    SubscriptionStatus,
    WithdrawalStatus,
)
from lib.push import organisation_group, push

__all__ = [
    "ChargebackStatus",
    "DepositStatus",
    "DisputeStatus",
    "PaymentStatus",
    "PayoutStatus",
    "ReferralStatus",
    "RefundStatus",
    "SubscriptionStatus",
    "WithdrawalStatus",
    "switch_chargeback",
    "switch_deposit",
    "switch_dispute",
    "switch_payment",
    "switch_payout",
    "switch_referral",
    "switch_refund",
    "switch_subscription",
    "switch_withdrawal",
    "tell_deposit",
    "tell_dispute",
]


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


def switch_refund(refund: Refund, to: str, **columns: Any) -> bool:
    """Change the status as `refund` was read, with `columns`; False when somebody else was first."""
    if to not in REFUND_TRANSITIONS[refund.status]:
        raise WrongTransition(f"refund {refund.status} → {to}")
    same = Refund.objects.filter(pk=refund.pk, status=refund.status)
    if not same.update(status=to, **columns):
        return False
    refund.refresh_from_db()
    event = {"type": "refund.changed", "id": refund.public_id, "status": to}
    push(organisation_group(refund.payment.organisation_id), event)
    return True


def switch_chargeback(chargeback: Chargeback, to: str, **columns: Any) -> bool:
    """Change the status as `chargeback` was read, with `columns`; False when somebody else was first."""
    if to not in CHARGEBACK_TRANSITIONS[chargeback.status]:
        raise WrongTransition(f"chargeback {chargeback.status} → {to}")
    same = Chargeback.objects.filter(pk=chargeback.pk, status=chargeback.status)
    if not same.update(status=to, **columns):
        return False
    chargeback.refresh_from_db()
    event = {"type": "chargeback.changed", "id": chargeback.public_id, "status": to}
    push(organisation_group(chargeback.payment.organisation_id), event)
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


def switch_deposit(deposit: Deposit, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `deposit` was read, with `columns`; False when somebody else was first."""
    if to not in DEPOSIT_TRANSITIONS[deposit.status]:
        raise WrongTransition(f"deposit {deposit.status} → {to}")
    same = Deposit.objects.filter(pk=deposit.pk, status=deposit.status)
    if not same.update(status=to, reason=reason, **columns):
        return False
    deposit.refresh_from_db()
    tell_deposit(deposit)
    return True


def tell_deposit(deposit: Deposit) -> None:
    """Open pages look again: the status, or how many blocks confirm it, has changed."""
    if deposit.organisation_id is not None:
        event = {"type": "deposit.changed", "id": deposit.public_id, "status": deposit.status}
        push(organisation_group(deposit.organisation_id), event)


def switch_withdrawal(withdrawal: Withdrawal, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `withdrawal` was read, with `columns`; False when somebody else was first."""
    if to not in WITHDRAWAL_TRANSITIONS[withdrawal.status]:
        raise WrongTransition(f"withdrawal {withdrawal.status} → {to}")
    same = Withdrawal.objects.filter(pk=withdrawal.pk, status=withdrawal.status)
    if not same.update(status=to, reason=reason, **columns):
        return False
    withdrawal.refresh_from_db()
    event = {"type": "withdrawal.changed", "id": withdrawal.public_id, "status": to}
    push(organisation_group(withdrawal.organisation_id), event)
    return True


def switch_payout(payout: Payout, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `payout` was read, with `columns`; False when somebody else was first."""
    if to not in PAYOUT_TRANSITIONS[payout.status]:
        raise WrongTransition(f"payout {payout.status} → {to}")
    same = Payout.objects.filter(pk=payout.pk, status=payout.status)
    if not same.update(status=to, reason=reason, **columns):
        return False
    payout.refresh_from_db()
    push(organisation_group(payout.organisation_id), {"type": "payout.changed", "id": payout.public_id, "status": to})
    return True


def switch_referral(referral: Referral, to: str, **columns: Any) -> bool:
    """Change the status as `referral` was read, with `columns`; False when somebody else was first."""
    if to not in REFERRAL_TRANSITIONS[referral.status]:
        raise WrongTransition(f"referral {referral.status} → {to}")
    same = Referral.objects.filter(pk=referral.pk, status=referral.status)
    if not same.update(status=to, **columns):
        return False
    referral.refresh_from_db()
    event = {"type": "referral.changed", "id": referral.public_id, "status": to}
    push(organisation_group(referral.referrer_id), event)
    return True


def switch_dispute(dispute: Dispute, to: str, **columns: Any) -> bool:
    """Change the status as `dispute` was read, with `columns`; False when somebody else was first."""
    if to not in DISPUTE_TRANSITIONS[dispute.status]:
        raise WrongTransition(f"dispute {dispute.status} → {to}")
    same = Dispute.objects.filter(pk=dispute.pk, status=dispute.status)
    if not same.update(status=to, **columns):
        return False
    dispute.refresh_from_db()
    tell_dispute(dispute)
    return True


def tell_dispute(dispute: Dispute) -> None:
    """Open pages of both sides look again: its status has changed, or somebody has said or shown something."""
    event = {"type": "dispute.changed", "id": dispute.public_id, "status": dispute.status}
    for organisation_id in (dispute.renter_id, dispute.owner_id):
        push(organisation_group(organisation_id), event)
