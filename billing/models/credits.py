"""Compute credits."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from lib.ids import encode_id


class CreditRate(models.Model):
    """Compute credits for one unit-hour of a resource class (`cpu`, a GPU model's slug), valid from a moment on."""

    resource = models.CharField(_("resource"), max_length=48)
    credits_per_hour = models.DecimalField(_("credits per hour"), max_digits=20, decimal_places=6)
    valid_from = models.DateTimeField(_("valid from"))

    class Meta:
        verbose_name = _("credit rate")
        verbose_name_plural = _("credit rates")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["resource", "valid_from"], name="credit_rate_once"),
            models.CheckConstraint(condition=Q(credits_per_hour__gt=0), name="credit_rate_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.resource}: {self.credits_per_hour}/h"


class CreditLot(models.Model):
    """Credits that came together and expire together. `left` of all lots sums to what the ledger says is there."""

    class Source(models.TextChoices):
        SIGN_UP = "sign_up", _("welcome credits")
        EARNED = "earned", _("earned")
        REFUND = "refund", _("refund")
        TRANSFER = "transfer", _("transfer")
        STAFF = "staff", _("granted by staff")
        OPENING = "opening", _("opening balance")

    id = models.UUIDField(primary_key=True, editable=False)  # given by the caller: the idempotency key
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="credit_lots", verbose_name=_("organisation")
    )
    source = models.CharField(_("source"), max_length=8, choices=Source.choices)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    left = models.DecimalField(_("left"), max_digits=20, decimal_places=6)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    warned_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("credit lot")
        verbose_name_plural = _("credit lots")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(left__gte=0, left__lte=F("amount"), amount__gt=0), name="lot_left"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "expires_at"], condition=Q(left__gt=0), name="lot_open"),
            models.Index(fields=["expires_at"], condition=Q(left__gt=0), name="lot_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.left} / {self.amount}"

    @property
    def public_id(self) -> str:
        return encode_id("lot", self.pk)
