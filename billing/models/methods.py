"""What a payment service keeps for an organisation: who it is there, and the cards that it may charge."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from lib.ids import encode_id, new_id


class ServiceCustomer(models.Model):
    """An organisation as a payment service knows it."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="service_customers")
    service = models.CharField(_("payment service"), max_length=16)
    ref = models.CharField(_("customer at the service"), max_length=64)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("customer at a payment service")
        verbose_name_plural = _("customers at payment services")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organisation", "service"], name="service_customer_of_organisation_once"),
            models.UniqueConstraint(fields=["service", "ref"], name="service_customer_ref_once"),
        ]

    def __str__(self) -> str:
        return self.ref


class PaymentMethod(models.Model):
    """A saved card. Its number never comes here: the service keeps it, we keep what a person knows it by."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="payment_methods")
    service = models.CharField(_("payment service"), max_length=16)
    ref = models.CharField(_("card at the service"), max_length=64)
    brand = models.CharField(_("brand"), max_length=24)
    last4 = models.CharField(_("last four digits"), max_length=4)
    exp_month = models.PositiveSmallIntegerField(_("month of expiry"))
    exp_year = models.PositiveSmallIntegerField(_("year of expiry"))
    # The same for the same card, whoever saves it: by it rings of accounts are found.
    fingerprint = models.CharField(max_length=64, blank=True, db_index=True)
    is_default = models.BooleanField(_("default"), default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("saved card")
        verbose_name_plural = _("saved cards")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["service", "ref"], name="payment_method_once"),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(is_default=True, removed_at=None),
                name="payment_method_default_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} ···· {self.last4}"

    @property
    def public_id(self) -> str:
        return encode_id("crd", self.pk)
