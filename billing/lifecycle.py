"""The only writer of the status of what billing has: the tables of states, and compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping
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
from lib.push import STAFF_BILLING_GROUP, organisation_group, push

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


HasStatus = Payment | Refund | Chargeback | Subscription | Deposit | Withdrawal | Payout | Referral | Dispute


class WrongTransition(Exception):
    """The table of states does not allow this change."""


def _switch(row: HasStatus, table: Mapping[str, frozenset[str]], to: str, **columns: Any) -> bool:
    """Compare-and-set: the row as it was read, or nothing. Raises WrongTransition."""
    model = type(row)
    if to not in table[row.status]:
        raise WrongTransition(f"{model._meta.model_name} {row.status} → {to}")
    if not model._default_manager.filter(pk=row.pk, status=row.status).update(status=to, **columns):
        return False
    row.refresh_from_db()
    return True


def switch_payment(payment: Payment, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `payment` was read, with `columns`; False when somebody else was first."""
    if not _switch(payment, PAYMENT_TRANSITIONS, to, reason=reason, **columns):
        return False
    push(
        organisation_group(payment.organisation_id), {"type": "payment.changed", "id": payment.public_id, "status": to}
    )
    return True


def switch_refund(refund: Refund, to: str, **columns: Any) -> bool:
    """Change the status as `refund` was read, with `columns`; False when somebody else was first."""
    if not _switch(refund, REFUND_TRANSITIONS, to, **columns):
        return False
    event = {"type": "refund.changed", "id": refund.public_id, "status": to}
    push(organisation_group(refund.payment.organisation_id), event)
    return True


def switch_chargeback(chargeback: Chargeback, to: str, **columns: Any) -> bool:
    """Change the status as `chargeback` was read, with `columns`; False when somebody else was first."""
    if not _switch(chargeback, CHARGEBACK_TRANSITIONS, to, **columns):
        return False
    event = {"type": "chargeback.changed", "id": chargeback.public_id, "status": to}
    for group in (organisation_group(chargeback.payment.organisation_id), STAFF_BILLING_GROUP):
        push(group, event)
    return True


def switch_subscription(subscription: Subscription, to: str, **columns: Any) -> bool:
    """Change the status as `subscription` was read, with `columns`; False when somebody else was first."""
    return _switch(subscription, SUBSCRIPTION_TRANSITIONS, to, **columns)


def switch_deposit(deposit: Deposit, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `deposit` was read, with `columns`; False when somebody else was first."""
    if not _switch(deposit, DEPOSIT_TRANSITIONS, to, reason=reason, **columns):
        return False
    tell_deposit(deposit)
    return True


def tell_deposit(deposit: Deposit) -> None:
    """Open pages look again: the status, or how many blocks confirm it, has changed."""
    if deposit.organisation_id is not None:
        event = {"type": "deposit.changed", "id": deposit.public_id, "status": deposit.status}
        push(organisation_group(deposit.organisation_id), event)


def switch_withdrawal(withdrawal: Withdrawal, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `withdrawal` was read, with `columns`; False when somebody else was first."""
    if not _switch(withdrawal, WITHDRAWAL_TRANSITIONS, to, reason=reason, **columns):
        return False
    event = {"type": "withdrawal.changed", "id": withdrawal.public_id, "status": to}
    push(organisation_group(withdrawal.organisation_id), event)
    return True


def switch_payout(payout: Payout, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Change the status as `payout` was read, with `columns`; False when somebody else was first."""
    if not _switch(payout, PAYOUT_TRANSITIONS, to, reason=reason, **columns):
        return False
    push(organisation_group(payout.organisation_id), {"type": "payout.changed", "id": payout.public_id, "status": to})
    return True


def switch_referral(referral: Referral, to: str, **columns: Any) -> bool:
    """Change the status as `referral` was read, with `columns`; False when somebody else was first."""
    if not _switch(referral, REFERRAL_TRANSITIONS, to, **columns):
        return False
    event = {"type": "referral.changed", "id": referral.public_id, "status": to}
    push(organisation_group(referral.referrer_id), event)
    return True


def switch_dispute(dispute: Dispute, to: str, **columns: Any) -> bool:
    """Change the status as `dispute` was read, with `columns`; False when somebody else was first."""
    if not _switch(dispute, DISPUTE_TRANSITIONS, to, **columns):
        return False
    tell_dispute(dispute)
    return True


def tell_dispute(dispute: Dispute) -> None:
    """Open pages of both sides look again: its status has changed, or somebody has said or shown something."""
    event = {"type": "dispute.changed", "id": dispute.public_id, "status": dispute.status}
    for organisation_id in (dispute.renter_id, dispute.owner_id):
        push(organisation_group(organisation_id), event)
