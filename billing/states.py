"""The lives of payments, refunds, subscriptions, deposits, withdrawals, payouts, referrals and disputes. Pure data."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class PaymentStatus(models.TextChoices):
    NEW = "new", _("New")
    CREATED = "created", _("Waiting for approval")
    APPROVED = "approved", _("Approved")
    CAPTURED = "captured", _("Paid")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


P = PaymentStatus
PAYMENT_TRANSITIONS: dict[str, frozenset[str]] = {
    P.NEW: frozenset({P.CREATED, P.FAILED, P.CANCELLED}),
    P.CREATED: frozenset({P.APPROVED, P.CAPTURED, P.CANCELLED, P.FAILED}),
    P.APPROVED: frozenset({P.CREATED, P.CAPTURED, P.FAILED}),  # a card's bank asks its customer first
    P.CAPTURED: frozenset(),
    P.CANCELLED: frozenset({P.APPROVED, P.CAPTURED}),  # the customer may still approve the order at the service
    P.FAILED: frozenset(),
}


class RefundStatus(models.TextChoices):
    NEW = "new", _("New")
    SENT = "sent", _("On its way")
    COMPLETED = "completed", _("Refunded")
    FAILED = "failed", _("Failed")


R = RefundStatus
REFUND_TRANSITIONS: dict[str, frozenset[str]] = {
    R.NEW: frozenset({R.SENT, R.COMPLETED, R.FAILED}),
    R.SENT: frozenset({R.COMPLETED, R.FAILED}),
    R.COMPLETED: frozenset(),
    R.FAILED: frozenset({R.COMPLETED}),  # the service says that the money went back after all
}


class ChargebackStatus(models.TextChoices):
    """`warning_…`: the bank only asks, and has taken nothing."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response", _("The bank asks")
    WARNING_UNDER_REVIEW = "warning_under_review", _("The bank has our answer")
    WARNING_CLOSED = "warning_closed", _("The question is closed")
    NEEDS_RESPONSE = "needs_response", _("Evidence is wanted")
    UNDER_REVIEW = "under_review", _("The bank decides")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


C = ChargebackStatus
DISPUTED: frozenset[str] = frozenset({C.NEEDS_RESPONSE, C.UNDER_REVIEW, C.WON, C.LOST})
TAKEN_BACK = (C.NEEDS_RESPONSE, C.UNDER_REVIEW, C.LOST)
# We see what the service says at our looks, not each step: some are skipped. A question may become a dispute.
CHARGEBACK_TRANSITIONS: dict[str, frozenset[str]] = {
    C.WARNING_NEEDS_RESPONSE: frozenset({C.WARNING_UNDER_REVIEW, C.WARNING_CLOSED, *DISPUTED}),
    C.WARNING_UNDER_REVIEW: frozenset({C.WARNING_CLOSED, *DISPUTED}),
    C.WARNING_CLOSED: DISPUTED,
    C.NEEDS_RESPONSE: frozenset({C.UNDER_REVIEW, C.WON, C.LOST}),
    C.UNDER_REVIEW: frozenset({C.NEEDS_RESPONSE, C.WON, C.LOST}),  # the bank wants to hear more
    C.WON: frozenset({C.LOST}),  # the bank thinks again
    C.LOST: frozenset({C.WON}),
}


class SubscriptionStatus(models.TextChoices):
    PENDING = "pending", _("Waiting for payment")
    ACTIVE = "active", _("Active")
    PAST_DUE = "past_due", _("Payment failed")
    ENDED = "ended", _("Ended")


T = SubscriptionStatus
SUBSCRIPTION_TRANSITIONS: dict[str, frozenset[str]] = {
    T.PENDING: frozenset({T.ACTIVE, T.ENDED}),
    T.ACTIVE: frozenset({T.PAST_DUE, T.ENDED}),
    T.PAST_DUE: frozenset({T.ACTIVE, T.ENDED}),
    T.ENDED: frozenset(),
}


class DepositStatus(models.TextChoices):
    """`vanished`: the chain has dropped it before it was credited; `reversed`: after. Either may come back."""

    SEEN = "seen", _("Seen on the chain")
    CONFIRMED = "confirmed", _("Confirmed, not final yet")
    UNMATCHED = "unmatched", _("Sender unknown")
    CREDITED = "credited", _("Credited")
    VANISHED = "vanished", _("Dropped by the chain")
    REVERSED = "reversed", _("Taken back")


D = DepositStatus
DEPOSIT_TRANSITIONS: dict[str, frozenset[str]] = {
    D.SEEN: frozenset({D.CONFIRMED, D.VANISHED}),
    D.CONFIRMED: frozenset({D.CREDITED, D.UNMATCHED, D.VANISHED}),
    D.UNMATCHED: frozenset({D.CREDITED, D.VANISHED}),
    D.CREDITED: frozenset({D.REVERSED}),
    D.VANISHED: frozenset({D.SEEN}),
    D.REVERSED: frozenset({D.SEEN}),
}


class WithdrawalStatus(models.TextChoices):
    """`signed`: a transaction is stored and may be on its way; from then on only the chain decides."""

    WAITING = "waiting", _("Waiting")
    QUEUED = "queued", _("In the queue")
    SIGNED = "signed", _("Being sent")
    SENT = "sent", _("Sent, not final yet")
    DONE = "done", _("Paid out")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


W = WithdrawalStatus
WITHDRAWAL_TRANSITIONS: dict[str, frozenset[str]] = {
    W.WAITING: frozenset({W.QUEUED, W.CANCELLED}),
    W.QUEUED: frozenset({W.SIGNED, W.CANCELLED}),
    W.SIGNED: frozenset({W.SENT, W.DONE, W.FAILED}),
    W.SENT: frozenset({W.DONE, W.FAILED}),
    W.DONE: frozenset(),
    W.FAILED: frozenset(),
    W.CANCELLED: frozenset(),
}


class PayoutStatus(models.TextChoices):
    """`sent`: the way of payment was asked and may have paid; `exported`: it stands in a file for our bank."""

    NEW = "new", _("Waiting")
    SENT = "sent", _("On its way")
    EXPORTED = "exported", _("Handed to the bank")
    PAID = "paid", _("Paid out")
    RETURNED = "returned", _("Came back")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


Y = PayoutStatus
PAYOUT_TRANSITIONS: dict[str, frozenset[str]] = {
    Y.NEW: frozenset({Y.SENT, Y.EXPORTED, Y.FAILED, Y.CANCELLED}),
    Y.SENT: frozenset({Y.PAID, Y.RETURNED, Y.FAILED}),
    Y.EXPORTED: frozenset({Y.PAID, Y.RETURNED}),
    Y.PAID: frozenset({Y.RETURNED}),
    Y.RETURNED: frozenset(),
    Y.FAILED: frozenset(),
    Y.CANCELLED: frozenset(),
}


class ReferralStatus(models.TextChoices):
    """`paid`: the first month is paid, and its end is awaited."""

    SIGNED_UP = "signed_up", _("Signed up")
    PAID = "paid", _("First month paid")
    REWARDED = "rewarded", _("Rewarded")
    REFUSED = "refused", _("Not eligible")


class ReferralReason(models.TextChoices):
    """Why there is no reward. For staff only."""

    PERSON = "person", _("the same person on both sides")
    CARD = "card", _("the same card")
    PAYER = "payer", _("the same PayPal account")
    WALLET = "wallet", _("the same wallet address")
    CYCLE = "cycle", _("organisations that refer each other")
    REFUNDED = "refunded", _("the first month was refunded")
    CHARGED_BACK = "charged_back", _("the first month was charged back")


F = ReferralStatus
REFERRAL_TRANSITIONS: dict[str, frozenset[str]] = {
    F.SIGNED_UP: frozenset({F.PAID, F.REFUSED}),
    F.PAID: frozenset({F.REWARDED, F.REFUSED}),
    F.REWARDED: frozenset(),
    F.REFUSED: frozenset(),
}


class DisputeStatus(models.TextChoices):
    """`decided`: either side may still appeal, and no money has moved. It moves with `final`."""

    OPEN = "open", _("Waiting for the owner")
    ANSWERED = "answered", _("Being decided")
    DECIDED = "decided", _("Decided, may be appealed")
    APPEALED = "appealed", _("Appealed")
    FINAL = "final", _("Closed")


class DisputeReason(models.TextChoices):
    NOT_WORKING = "not_working", _("It did not work")
    INTERRUPTED = "interrupted", _("It was interrupted")
    SLOWER = "slower", _("Slower or smaller than offered")
    OVERCHARGED = "overcharged", _("More was charged than was used")
    OTHER = "other", _("Something else")


U = DisputeStatus
DISPUTE_TRANSITIONS: dict[str, frozenset[str]] = {
    U.OPEN: frozenset({U.ANSWERED, U.DECIDED}),
    U.ANSWERED: frozenset({U.DECIDED}),
    U.DECIDED: frozenset({U.APPEALED, U.FINAL}),
    U.APPEALED: frozenset({U.FINAL}),
    U.FINAL: frozenset(),
}
