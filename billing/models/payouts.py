"""Money for owners and operators: who they are, where they are paid, what was paid."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.models.ledger import Currency
from billing.states import PayoutStatus
from lib.ids import encode_id, new_id


class PayeeProfile(models.Model):
    """What has to be known of an organisation before money leaves for it. The owner states it, staff confirm it."""

    class TaxForm(models.TextChoices):
        NONE = "none", _("none yet")
        W9 = "w9", _("W-9 (a person or company of the United States)")
        W8BEN = "w8ben", _("W-8BEN (a person elsewhere)")
        W8BENE = "w8bene", _("W-8BEN-E (a company elsewhere)")
        LOCAL = "local", _("another form, which the tax office of our country asks for")

    class Identity(models.TextChoices):
        UNVERIFIED = "unverified", _("not verified")
        PENDING = "pending", _("being verified")
        VERIFIED = "verified", _("verified")

    organisation = models.OneToOneField(Organisation, on_delete=models.PROTECT, related_name="payee_profile")
    legal_name = models.CharField(_("legal name"), max_length=140, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)  # ISO 3166-1
    tax_form = models.CharField(_("tax form"), max_length=8, choices=TaxForm.choices, default=TaxForm.NONE)
    tax_stated_at = models.DateTimeField(_("tax form stated"), null=True, blank=True)
    tax_received_at = models.DateTimeField(_("tax form on file"), null=True, blank=True)
    tax_confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    identity = models.CharField(_("identity"), max_length=12, choices=Identity.choices, default=Identity.UNVERIFIED)
    identity_by = models.CharField(_("verified by"), max_length=16, blank=True)  # a payment service, or staff
    hold_reason = models.CharField(_("why payouts are held"), max_length=200, blank=True)
    pays_weekly = models.BooleanField(_("paid every week"), default=True)

    class Meta:
        verbose_name = _("payee")
        verbose_name_plural = _("payees")

    def __str__(self) -> str:
        return self.legal_name or str(self.organisation)


class PayoutMethod(models.Model):
    """Where an organisation is paid. What it is never changes: another destination is another row.

    `destination` is what the way of payment knows the owner by: an account at Stripe, an address at PayPal,
    `<chain>:<address>` for USDC. An account number at a bank is sealed instead.
    """

    class Kind(models.TextChoices):
        STRIPE = "stripe", "Stripe"
        PAYPAL = "paypal", "PayPal"
        BANK = "bank", _("Bank account")
        USDC = "usdc", "USDC"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="payout_methods")
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    destination = models.CharField(_("paid to"), max_length=254, blank=True)
    sealed_account = models.BinaryField(null=True, editable=False)
    bic = models.CharField("BIC", max_length=11, blank=True)
    holder = models.CharField(_("account holder"), max_length=140, blank=True)
    display = models.CharField(_("shown as"), max_length=160, blank=True)
    is_ready = models.BooleanField(_("ready"), default=True)
    missing = ArrayField(models.CharField(max_length=120), default=list, blank=True)  # what the service wants to know
    is_default = models.BooleanField(_("default"), default=False)
    payable_from = models.DateTimeField(_("paid to from"))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("payout method")
        verbose_name_plural = _("payout methods")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(is_default=True, removed_at=None),
                name="payout_method_default_once",
            ),
            models.UniqueConstraint(
                fields=["destination"],
                condition=Q(kind="stripe") & ~Q(destination=""),
                name="payout_method_at_stripe_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.display}"

    @property
    def public_id(self) -> str:
        return encode_id("pym", self.pk)


class BankFile(models.Model):
    """Payouts handed to our bank in one file (ISO 20022 pain.001). It holds account numbers, and is sealed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    count = models.PositiveIntegerField(_("payouts"))
    total = models.DecimalField(_("total"), max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, choices=Currency.choices)
    sealed_content = models.BinaryField(editable=False)
    sha256 = models.CharField(max_length=64)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("made"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("bank file")
        verbose_name_plural = _("bank files")

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return encode_id("bkf", self.pk)


class Payout(models.Model):
    """Earnings on their way to their owner. Its public id is our name for it at whoever pays it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="payouts")
    method = models.ForeignKey(PayoutMethod, on_delete=models.PROTECT, related_name="payouts")
    kind = models.CharField(_("kind"), max_length=8, choices=PayoutMethod.Kind.choices)  # the method's
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, choices=Currency.choices)
    returned = models.DecimalField(_("came back"), max_digits=20, decimal_places=6, default=0)
    status = models.CharField(_("status"), max_length=12, choices=PayoutStatus.choices, default=PayoutStatus.NEW)
    reason = models.CharField(_("reason"), max_length=80, blank=True)
    service_ref = models.CharField(_("payout at the service"), max_length=64, blank=True)
    bank_file = models.ForeignKey(BankFile, on_delete=models.PROTECT, null=True, blank=True, related_name="payouts")
    not_before = models.DateTimeField(_("not before"))
    needs_approval = models.BooleanField(_("needs approval"), default=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField(_("approved"), null=True, blank=True)
    # Nobody: the weekly payout.
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    idempotency_key = models.CharField(max_length=120, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    checked_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payout_positive"),
            models.CheckConstraint(
                condition=Q(returned__gte=0, returned__lte=F("amount")), name="payout_returned_within"
            ),
            models.UniqueConstraint(fields=["organisation", "idempotency_key"], name="payout_started_once"),
            models.UniqueConstraint(
                fields=["kind", "service_ref"], condition=~Q(service_ref=""), name="payout_at_service_once"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-id"], name="payout_by_organisation"),
            models.Index(fields=["checked_at"], condition=Q(status__in=["new", "sent"]), name="payout_open"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} → {self.method}"

    @property
    def public_id(self) -> str:
        return encode_id("pyo", self.pk)
