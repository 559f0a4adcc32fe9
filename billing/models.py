"""Money: accounts and transfers, plans and subscriptions, payments. Only domain modules write here."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.states import PaymentStatus, SubscriptionStatus
from lib.ids import encode_id, new_id


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
        CREDIT_ISSUE = "credit_issue", _("credits issued")
        OPENING = "opening", _("opening balances")

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


class Plan(models.Model):
    """What can be subscribed to. Entitlements are data; `billing.plans` enforces them."""

    slug = models.SlugField(primary_key=True, max_length=32)
    name = models.CharField(_("name"), max_length=48)
    price_per_month = models.DecimalField(
        _("price, USD/month"), max_digits=20, decimal_places=6, null=True, blank=True
    )  # none: by contract
    summary = models.CharField(_("summary"), max_length=200, blank=True)
    features = models.JSONField(_("features"), default=list)
    entitlements = models.JSONField(_("entitlements"), default=dict)
    position = models.PositiveSmallIntegerField(default=0)
    is_public = models.BooleanField(default=True)

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering: ClassVar[list[str]] = ["position"]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(_("status"), max_length=12, choices=SubscriptionStatus.choices)
    period_start = models.DateTimeField(null=True, blank=True)
    period_end = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation"], condition=Q(status="active"), name="subscription_active_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation} · {self.plan_id}"

    @property
    def public_id(self) -> str:
        return encode_id("sub", self.pk)


class Payment(models.Model):
    """Money on its way in through a payment service: a plan's month or a top-up of the wallet."""

    class Purpose(models.TextChoices):
        PLAN = "plan", _("plan")
        TOP_UP = "top_up", _("wallet top-up")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="payments")
    service = models.CharField(_("payment service"), max_length=16, default="paypal")
    purpose = models.CharField(_("purpose"), max_length=8, choices=Purpose.choices)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, choices=Currency.choices, default=Currency.USD)
    status = models.CharField(_("status"), max_length=12, choices=PaymentStatus.choices, default=PaymentStatus.NEW)
    reason = models.CharField(max_length=48, blank=True)
    order_ref = models.CharField(_("order at the service"), max_length=64, blank=True)
    capture_ref = models.CharField(_("capture at the service"), max_length=64, blank=True)
    approve_url = models.CharField(max_length=500, blank=True)
    payer_email = models.EmailField(blank=True)
    idempotency_key = models.CharField(max_length=120, blank=True, editable=False)  # of the request that started it
    receipt_number = models.BigIntegerField(_("receipt"), null=True, blank=True, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    checked_at = models.DateTimeField(null=True, blank=True)
    captured_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-id"], name="payment_by_organisation"),
            models.Index(
                fields=["checked_at"], condition=Q(status__in=["new", "created", "approved"]), name="payment_open"
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
            models.UniqueConstraint(
                fields=["organisation", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="payment_started_once",
            ),
            models.UniqueConstraint(
                fields=["service", "order_ref"], condition=~Q(order_ref=""), name="payment_order_once"
            ),
            models.UniqueConstraint(
                fields=["service", "capture_ref"], condition=~Q(capture_ref=""), name="payment_capture_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} {self.purpose}"

    @property
    def public_id(self) -> str:
        return encode_id("pay", self.pk)


class WebhookEvent(models.Model):
    """The inbox: stored once, answered at once, processed by asking the service again."""

    id = models.BigAutoField(primary_key=True)
    service = models.CharField(max_length=16)
    event_ref = models.CharField(max_length=80)
    kind = models.CharField(max_length=64)
    body = models.JSONField()
    received_at = models.DateTimeField(db_default=Now())
    processed_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = _("webhook event")
        verbose_name_plural = _("webhook events")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["service", "event_ref"], name="webhook_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.kind}"


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
