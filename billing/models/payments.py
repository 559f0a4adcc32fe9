"""Money on its way in and back, and what the payment services tell us of it."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.models.ledger import Currency
from billing.models.methods import PaymentMethod
from billing.models.plans import Plan, Subscription
from billing.states import PaymentStatus, RefundStatus
from lib.ids import encode_id, new_id


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
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, null=True, blank=True, related_name="payments"
    )
    # The time of the plan that it bought: what a refund in full takes back.
    paid_from = models.DateTimeField(null=True, blank=True)
    paid_until = models.DateTimeField(null=True, blank=True)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    # What each month of the plan costs from then on, where a service renews it: agreed to with this payment.
    price_per_month = models.DecimalField(
        _("agreed price, USD/month"), max_digits=20, decimal_places=6, null=True, blank=True
    )
    # Given back, or on its way back. CHECK refuses more than was paid, whoever asks and in whatever order.
    refunded = models.DecimalField(_("refunded"), max_digits=20, decimal_places=6, default=0, editable=False)
    # Taken back by the payer's bank, until we win: together they are never more than was paid.
    charged_back = models.DecimalField(
        _("taken back by the bank"), max_digits=20, decimal_places=6, default=0, editable=False
    )
    currency = models.CharField(max_length=6, choices=Currency.choices, default=Currency.USD)
    status = models.CharField(_("status"), max_length=12, choices=PaymentStatus.choices, default=PaymentStatus.NEW)
    reason = models.CharField(max_length=48, blank=True)
    order_ref = models.CharField(_("order at the service"), max_length=64, blank=True)
    capture_ref = models.CharField(_("capture at the service"), max_length=64, blank=True)
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
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
            models.CheckConstraint(
                condition=Q(refunded__gte=0, charged_back__gte=0, refunded__lte=F("amount") - F("charged_back")),
                name="payment_refunded_within",
            ),
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

    @property
    def is_upgrade(self) -> bool:
        """It is the rest of a month to a dearer plan, and not a month."""
        return self.price_per_month is not None and self.price_per_month != self.amount

    @property
    def left(self) -> Decimal:
        """What has neither been given back nor been taken back."""
        return self.amount - self.refunded - self.charged_back


class Refund(models.Model):
    """Money on its way back: asked for by staff here, or begun at the service. Its public id is our name for it there."""

    class Origin(models.TextChoices):
        STAFF = "staff", _("staff")
        SERVICE = "service", _("at the payment service")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    service = models.CharField(_("payment service"), max_length=16)  # the payment's, for the constraint below
    origin = models.CharField(_("begun by"), max_length=8, choices=Origin.choices)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, choices=Currency.choices)
    status = models.CharField(_("status"), max_length=12, choices=RefundStatus.choices, default=RefundStatus.NEW)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    error = models.CharField(_("refused by the service"), max_length=64, blank=True)
    service_ref = models.CharField(_("refund at the service"), max_length=64, blank=True)
    idempotency_key = models.CharField(max_length=120, blank=True, editable=False)  # of the request that started it
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    checked_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["checked_at"], condition=Q(status__in=["new", "sent"]), name="refund_open"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_positive"),
            models.UniqueConstraint(
                fields=["payment", "idempotency_key"], condition=~Q(idempotency_key=""), name="refund_started_once"
            ),
            models.UniqueConstraint(
                fields=["service", "service_ref"], condition=~Q(service_ref=""), name="refund_at_service_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} back"

    @property
    def public_id(self) -> str:
        return encode_id("rfd", self.pk)


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
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["received_at"], condition=Q(processed_at=None), name="webhook_event_waiting"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["service", "event_ref"], name="webhook_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.kind}"
