"""How an organisation's wallet is kept from running dry."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation


class AutoTopUp(models.Model):
    """Below `threshold` the default card pays `amount` in."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, related_name="auto_top_up")
    is_on = models.BooleanField(_("on"), default=False)
    threshold = models.DecimalField(_("below, USD"), max_digits=20, decimal_places=6, null=True, blank=True)
    amount = models.DecimalField(_("pay in, USD"), max_digits=20, decimal_places=6, null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)  # counts on for ever: each is the key of one payment
    tried_at = models.DateTimeField(_("last tried"), null=True, blank=True)
    declines = models.PositiveSmallIntegerField(_("declined in a row"), default=0)

    class Meta:
        verbose_name = _("automatic top-up")
        verbose_name_plural = _("automatic top-ups")

    def __str__(self) -> str:
        return str(self.organisation)
