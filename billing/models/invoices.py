"""Invoices and credit notes as they were issued, their files, and the tax rates by which they were made."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.models.chargebacks import Chargeback
from billing.models.ledger import Currency
from billing.models.payments import Payment, Refund
from lib.ids import encode_id, new_id


class TaxRate(models.Model):
    """What a country takes of a sale to its consumers, from a day on. Without a rate, `reason` says why there is none."""

    country = models.CharField(_("country"), max_length=2)  # ISO 3166-1
    name = models.CharField(_("name of the tax"), max_length=16)
    percent = models.DecimalField(_("percent"), max_digits=5, decimal_places=2, null=True, blank=True)
    reason = models.CharField(_("why there is none"), max_length=200, blank=True)
    source = models.URLField(_("source"), max_length=300)
    valid_from = models.DateField(_("valid from"))

    class Meta:
        verbose_name = _("tax rate")
        verbose_name_plural = _("tax rates")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["country", "valid_from"], name="tax_rate_once"),
            models.CheckConstraint(
                condition=Q(percent__gt=0, percent__lt=100) | (Q(percent__isnull=True) & ~Q(reason="")),
                name="tax_rate_or_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.name} {'—' if self.percent is None else self.percent}"


class BillingDetails(models.Model):
    """What an organisation wants on its invoices beside its own name, country and tax id."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, related_name="billing_details")
    name = models.CharField(_("name on invoices"), max_length=160, blank=True)
    address = models.TextField(_("address"), max_length=400, blank=True)

    class Meta:
        verbose_name = _("billing details")
        verbose_name_plural = _("billing details")

    def __str__(self) -> str:
        return self.name or str(self.organisation)


class Invoice(models.Model):
    """INSERT-only. Seller, buyer and lines are copies: what changes later changes no invoice.

    `lines` are objects of texts: `text`, `net`, `tax`, `gross`. The amounts of a credit note are positive too.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Invoice")
        CREDIT_NOTE = "credit_note", _("Credit note")

    class Treatment(models.TextChoices):
        TAXED = "taxed", _("taxed")
        REVERSE_CHARGE = "reverse_charge", _("reverse charge")
        NOT_TAXED = "not_taxed", _("not taxed by us")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    year = models.PositiveSmallIntegerField(_("year"))
    sequence = models.PositiveIntegerField(_("number in its year"))
    number = models.CharField(_("number"), max_length=24, unique=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="invoices")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="invoices")
    refund = models.OneToOneField(Refund, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_note")
    chargeback = models.OneToOneField(
        Chargeback, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_note"
    )
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="credit_notes")
    issued_at = models.DateTimeField(_("issued"))
    locale = models.CharField(_("language"), max_length=8)
    seller = models.JSONField(_("seller"))
    buyer = models.JSONField(_("buyer"))
    lines = models.JSONField(_("lines"))
    currency = models.CharField(max_length=6, choices=Currency.choices)
    net = models.DecimalField(_("net"), max_digits=20, decimal_places=6)
    tax = models.DecimalField(_("tax"), max_digits=20, decimal_places=6)
    gross = models.DecimalField(_("total"), max_digits=20, decimal_places=6)
    tax_name = models.CharField(_("name of the tax"), max_length=16, blank=True)
    tax_percent = models.DecimalField(_("percent"), max_digits=5, decimal_places=2)
    tax_treatment = models.CharField(_("tax"), max_length=16, choices=Treatment.choices)
    tax_note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-id"], name="invoice_by_organisation"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "year", "sequence"], name="invoice_number_once"),
            models.UniqueConstraint(fields=["payment"], condition=Q(kind="invoice"), name="invoice_of_payment_once"),
            models.CheckConstraint(condition=Q(gross=F("net") + F("tax")), name="invoice_adds_up"),
            models.CheckConstraint(condition=Q(gross__gt=0, net__gte=0, tax__gte=0), name="invoice_positive"),
            models.CheckConstraint(
                condition=Q(kind="invoice", refund=None, chargeback=None, corrects=None)
                | Q(kind="credit_note", refund__isnull=False, chargeback=None, corrects__isnull=False)
                | Q(kind="credit_note", refund=None, chargeback__isnull=False, corrects__isnull=False),
                name="invoice_or_credit_note",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def public_id(self) -> str:
        return encode_id("doc", self.pk)


class InvoiceFile(models.Model):
    """The PDF of an invoice, rendered once: where it lies and what its bytes were. INSERT-only too."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="file")
    path = models.CharField(_("path"), max_length=120, unique=True)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField(_("bytes"))
    rendered_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("invoice file")
        verbose_name_plural = _("invoice files")

    def __str__(self) -> str:
        return self.path
