"""Accounts and transfers. Only `billing.ledger` writes them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from lib.ids import new_id


class Currency(models.TextChoices):
    USD = "USD", _("US dollar")
    USDC = "USDC", _("USD Coin")
    CREDIT = "CREDIT", _("Compute credit")


class Account(models.Model):
    """One side of the ledger. Sums are kept by the ledger's one function; CHECK refuses an overdraft."""

    class Kind(models.TextChoices):
        WALLET = "wallet", _("wallet")
        CREDITS = "credits", _("compute credits")
        EARNINGS = "earnings", _("operator's earnings")
        REVENUE = "revenue", _("revenue")
        PROVIDER_COST = "provider_cost", _("owed to providers")
        CLEARING = "clearing", _("clearing of a payment service")
        CONVERSION = "conversion", _("dollars changed into USDC by us")
        CREDIT_ISSUE = "credit_issue", _("credits issued")
        OPENING = "opening", _("opening balances")
        OWED_TO_US = "owed_to_us", _("owed to us by the customer")
        FEES = "fees", _("fees of payment services")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="accounts"
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    label = models.CharField(_("label"), max_length=48, blank=True, default="")  # such as the payment service
    shard = models.PositiveSmallIntegerField(default=0)
    currency = models.CharField(_("currency"), max_length=6, choices=Currency.choices)
    no_overdraft = models.BooleanField(default=True)
    debits_posted = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    credits_posted = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    debits_pending = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    credits_pending = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation", "kind", "label", "currency", "shard"],
                name="account_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(no_overdraft=False) | Q(debits_posted__lte=F("credits_posted") - F("debits_pending")),
                name="account_no_overdraft",
            ),
            models.CheckConstraint(
                condition=Q(debits_posted__gte=0, credits_posted__gte=0, debits_pending__gte=0, credits_pending__gte=0),
                name="account_sums_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.label} {self.currency}".replace("  ", " ")


class Transfer(models.Model):
    """One debit, one credit. INSERT-only: a hold is settled by the row that posts or voids it."""

    class State(models.TextChoices):
        POSTED = "posted", _("posted")
        PENDING = "pending", _("held")
        POST_PENDING = "post_pending", _("captured from a hold")
        VOID_PENDING = "void_pending", _("hold released")

    id = models.UUIDField(primary_key=True, editable=False)  # given by the caller: the idempotency key
    # `ledger_post`, which alone may insert, has read all that these point at, and nothing of it is ever removed:
    # asking again by foreign keys would cost a fifth of its speed. The indexes below begin with these columns.
    debit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    credit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    amount = models.DecimalField(max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, choices=Currency.choices)
    state = models.CharField(max_length=12, choices=State.choices)
    pending = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="settlements", db_index=False, db_constraint=False
    )
    expires_at = models.DateTimeField(null=True)
    source_type = models.CharField(max_length=32)
    source_id = models.CharField(max_length=64)
    memo = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(amount__gt=0) | Q(state="void_pending", amount__gte=0), name="transfer_amount_positive"
            ),
            models.CheckConstraint(condition=~Q(debit_account=F("credit_account")), name="transfer_two_accounts"),
            # A hold is settled once: captured (the rest is released with it) or voided.
            models.UniqueConstraint(fields=["pending"], condition=Q(pending__isnull=False), name="hold_settled_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["debit_account", "-created_at"], name="transfer_by_debit"),
            models.Index(fields=["credit_account", "-created_at"], name="transfer_by_credit"),
            models.Index(fields=["source_type", "source_id"], name="transfer_by_source"),
            models.Index(fields=["expires_at"], condition=Q(state="pending"), name="hold_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
