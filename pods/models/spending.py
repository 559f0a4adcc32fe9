"""What was used, and what may be."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from lib.ids import new_id
from pods.models.configs import Payer
from pods.models.pods import Placement


class Usage(models.Model):
    """Seconds of one placement in one epoch, billed once: unique by (placement, epoch, started_at)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    placement = models.ForeignKey(Placement, on_delete=models.PROTECT, related_name="usage")
    epoch = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    seconds = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6)
    payer = models.CharField(max_length=12, choices=Payer.choices)

    class Meta:
        verbose_name = _("usage")
        verbose_name_plural = _("usage")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["placement", "epoch", "started_at"], name="usage_once"),
            models.CheckConstraint(condition=Q(ended_at__gt=models.F("started_at")), name="usage_forward"),
        ]

    def __str__(self) -> str:
        return f"{self.seconds} s, {self.amount} {self.currency}"


class SpendLimit(models.Model):
    """What an organisation, or one of its members, may spend from the wallet in a calendar month (UTC), in USD.

    People are told at `soft`; at `hard` their pods stop, with what they saved, and none starts until the next month.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="spend_limits")
    person = models.ForeignKey(  # who started the pods; none: everybody together
        User, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    soft = models.DecimalField(_("tell at"), max_digits=20, decimal_places=6, null=True, blank=True)
    hard = models.DecimalField(_("stop at"), max_digits=20, decimal_places=6, null=True, blank=True)
    told_at = models.DateTimeField(_("told"), null=True, blank=True)

    class Meta:
        verbose_name = _("spend limit")
        verbose_name_plural = _("spend limits")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organisation", "person"], name="spend_limit_once", nulls_distinct=False),
            models.CheckConstraint(
                condition=(Q(soft=None) | Q(soft__gt=0)) & (Q(hard=None) | Q(hard__gt=0)), name="spend_limit_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.soft} / {self.hard}"


class MonthSpend(models.Model):
    """What was charged to the wallet in a calendar month (UTC), in USD: of an organisation, and of each who started pods.

    Kept with each charge, in its transaction; who charges locks the rows first, so that no two pass a limit together.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")  # none: everybody together
    month = models.DateField()  # its first day
    amount = models.DecimalField(max_digits=20, decimal_places=6, default=0)

    class Meta:
        verbose_name = _("spent in a month")
        verbose_name_plural = _("spent in a month")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation", "month", "person"], name="month_spend_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: {self.amount}"
