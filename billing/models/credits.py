"""Compute credits."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


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
