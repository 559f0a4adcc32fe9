"""Plans, and which of them an organisation has."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.models.methods import PaymentMethod
from billing.states import SubscriptionStatus
from lib.ids import encode_id, new_id
from lib.leases import Leased


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


class Subscription(Leased):
    """A plan that an organisation has: month by month, or renewed by a payment service (`service`) until it is ended."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(_("status"), max_length=12, choices=SubscriptionStatus.choices)
    period_start = models.DateTimeField(null=True, blank=True)
    period_end = models.DateTimeField(null=True, blank=True)
    service = models.CharField(_("renewed by"), max_length=16, blank=True)
    service_ref = models.CharField(_("subscription at the service"), max_length=64, blank=True)
    item_ref = models.CharField(max_length=64, blank=True)
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    # What the customer has agreed to pay for a month that a service renews: the plan's own price is that of new ones.
    price_per_month = models.DecimalField(
        _("agreed price, USD/month"), max_digits=20, decimal_places=6, null=True, blank=True
    )
    # From the next renewal on; what was paid stays until then.
    next_plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    next_price_per_month = models.DecimalField(
        _("agreed price after it, USD/month"), max_digits=20, decimal_places=6, null=True, blank=True
    )
    cancel_at_period_end = models.BooleanField(_("ends with its period"), default=False)
    cancel_reason = models.CharField(_("why it ends"), max_length=24, blank=True)
    cancel_comment = models.CharField(_("what the customer says"), max_length=400, blank=True)
    past_due_since = models.DateTimeField(_("not paid since"), null=True, blank=True)
    retries = models.PositiveSmallIntegerField(_("further tries"), default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation"], condition=Q(status__in=["active", "past_due"]), name="subscription_active_once"
            ),
            models.UniqueConstraint(
                fields=["service", "service_ref"], condition=~Q(service_ref=""), name="subscription_at_service_once"
            ),
            models.CheckConstraint(
                condition=Q(service="") | Q(price_per_month__isnull=False), name="subscription_price_agreed"
            ),
            models.CheckConstraint(
                condition=Q(next_plan=None, next_price_per_month=None)
                | Q(next_plan__isnull=False, next_price_per_month__isnull=False),
                name="subscription_next_price_agreed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation} · {self.plan_id}"

    @property
    def public_id(self) -> str:
        return encode_id("sub", self.pk)

    @property
    def agreed(self) -> list[tuple[Plan, Decimal]]:
        """The plans that a service renews or has renewed, and their price: what the next month is comes first."""
        rows = ((self.next_plan, self.next_price_per_month), (self.plan, self.price_per_month))
        return [(plan, price) for plan, price in rows if plan is not None and price is not None]
