"""The customer's journey from the checkout to the first running pod. Pure data."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class EnrolmentStatus(models.TextChoices):
    STARTED = "started", _("Waiting for payment")
    PAID = "paid", _("Paid, waiting for activation")
    ACTIVATED = "activated", _("Activated")
    PROVISIONING = "provisioning", _("The first pod is starting")
    READY = "ready", _("Ready")
    FAILED = "failed", _("The first pod could not be started")
    ABANDONED = "abandoned", _("Abandoned")


S = EnrolmentStatus
TRANSITIONS: dict[str, frozenset[str]] = {
    S.STARTED: frozenset({S.PAID, S.ABANDONED}),
    S.PAID: frozenset({S.ACTIVATED}),
    S.ACTIVATED: frozenset({S.PROVISIONING, S.FAILED}),
    S.PROVISIONING: frozenset({S.READY, S.FAILED}),
    S.READY: frozenset(),
    S.FAILED: frozenset({S.PROVISIONING, S.READY}),
    S.ABANDONED: frozenset({S.PAID}),  # the order may still be approved at the payment service
}


def is_final(status: str) -> bool:
    return not TRANSITIONS[status]


def may_follow(old: str, new: str) -> bool:
    return new in TRANSITIONS[old]
