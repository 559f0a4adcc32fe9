"""The lives of a payment, of a refund and of a subscription. Pure data."""

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
    P.APPROVED: frozenset({P.CAPTURED, P.FAILED}),
    P.CAPTURED: frozenset(),
    P.CANCELLED: frozenset({P.CAPTURED}),  # the customer may still approve the order at the service
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


class SubscriptionStatus(models.TextChoices):
    PENDING = "pending", _("Waiting for payment")
    ACTIVE = "active", _("Active")
    ENDED = "ended", _("Ended")


T = SubscriptionStatus
SUBSCRIPTION_TRANSITIONS: dict[str, frozenset[str]] = {
    T.PENDING: frozenset({T.ACTIVE, T.ENDED}),
    T.ACTIVE: frozenset({T.ENDED}),
    T.ENDED: frozenset(),
}
