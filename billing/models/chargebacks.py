"""Payments that the payer's bank takes back."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import Currency
from billing.models.payments import Payment
from billing.states import ChargebackStatus
from lib.ids import encode_id, new_id


class Chargeback(models.Model):
    """A dispute that a payer's bank has begun, as the payment service tells of it; its money is in the ledger.

    The service takes the sum at once (`withdrawn`), keeps a `fee`, and gives the sum back (`returned`) when we win.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="chargebacks")
    service = models.CharField(_("payment service"), max_length=16)  # the payment's, for the constraint below
    service_ref = models.CharField(_("dispute at the service"), max_length=64)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, choices=Currency.choices)
    reason = models.CharField(_("reason"), max_length=48)  # the bank's, in the service's words
    status = models.CharField(_("status"), max_length=24, choices=ChargebackStatus.choices)
    withdrawn = models.DecimalField(_("taken by the service"), max_digits=20, decimal_places=6, default=0)
    # What of it the payment still had: the rest had been refunded before, and the customer owes it.
    counted = models.DecimalField(max_digits=20, decimal_places=6, default=0, editable=False)
    returned = models.DecimalField(_("given back by the service"), max_digits=20, decimal_places=6, default=0)
    fee = models.DecimalField(_("fee of the service"), max_digits=20, decimal_places=6, default=0)
    opened_at = models.DateTimeField(_("opened"))
    due_at = models.DateTimeField(_("evidence is due"), null=True, blank=True)
    closed_at = models.DateTimeField(_("decided"), null=True, blank=True)
    # What was sent to the bank, field by field, in the service's names.
    evidence = models.JSONField(_("evidence"), default=dict, blank=True)
    # What was sent before the bank wanted to hear more: `at` and `evidence` of each time, the oldest first.
    sent_before = models.JSONField(_("evidence sent before"), default=list, blank=True)
    submitted_at = models.DateTimeField(_("evidence sent"), null=True, blank=True)
    accepted_at = models.DateTimeField(_("given in"), null=True, blank=True)
    warned_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("chargeback")
        verbose_name_plural = _("chargebacks")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["service", "service_ref"], name="chargeback_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="chargeback_positive"),
            models.CheckConstraint(
                condition=Q(counted__gte=0, counted__lte=F("withdrawn"), returned__gte=0, returned__lte=F("withdrawn")),
                name="chargeback_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} {self.reason}"

    @property
    def public_id(self) -> str:
        return encode_id("cbk", self.pk)
