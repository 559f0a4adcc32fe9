"""Plans, and which of them an organisation has."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.states import SubscriptionStatus
from lib.ids import encode_id, new_id


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
