"""What an organisation is told about its balances before they are gone."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.models.ledger import Currency


class BalanceAlert(models.Model):
    """Below `below` people are told, once each time; of a short runway at the hours of `balance_alerts.RUNWAY_HOURS`.

    `runway_level` is the smallest of those hours that the runway was under at the last look, `ABOVE` when under none,
    and empty while nothing is being spent.
    """

    ABOVE: ClassVar[int] = 32767

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="balance_alerts")
    currency = models.CharField(_("currency"), max_length=6, choices=Currency.choices)
    below = models.DecimalField(_("tell below"), max_digits=20, decimal_places=6, null=True, blank=True)
    told_at = models.DateTimeField(_("told of a low balance"), null=True, blank=True)
    watches_runway = models.BooleanField(_("tell before it runs out"), default=True)
    runway_level = models.PositiveSmallIntegerField(_("runway below, hours"), null=True, blank=True)

    class Meta:
        verbose_name = _("balance alert")
        verbose_name_plural = _("balance alerts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organisation", "currency"], name="balance_alert_once"),
            models.CheckConstraint(condition=Q(below=None) | Q(below__gt=0), name="balance_alert_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.organisation} {self.currency}"
