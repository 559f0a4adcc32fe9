"""Who brought whom here, and what both got for it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.models.payments import Payment
from billing.states import ReferralReason, ReferralStatus
from lib.ids import encode_id, new_id


class ReferralCode(models.Model):
    """What stands in an organisation's link. Its row is locked while rewards of a month are counted."""

    organisation = models.OneToOneField(
        Organisation, on_delete=models.PROTECT, primary_key=True, related_name="referral_code"
    )
    code = models.CharField(_("code"), max_length=16, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("referral code")
        verbose_name_plural = _("referral codes")

    def __str__(self) -> str:
        return self.code


class Referral(models.Model):
    """An organisation that signed up by another one's link. `payment` is its first paid month."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    referrer = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="referrals", verbose_name=_("referred by")
    )
    referred = models.OneToOneField(
        Organisation, on_delete=models.PROTECT, related_name="referral", verbose_name=_("who signed up")
    )
    status = models.CharField(
        _("status"), max_length=12, choices=ReferralStatus.choices, default=ReferralStatus.SIGNED_UP
    )
    # For staff. The referrer reads only that it is not eligible: what we compare is nobody's business.
    reason = models.CharField(_("why not"), max_length=16, choices=ReferralReason.choices, blank=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    due_at = models.DateTimeField(_("reward due"), null=True, blank=True)
    reward = models.DecimalField(_("credits for each side"), max_digits=20, decimal_places=6, null=True, blank=True)
    rewarded_at = models.DateTimeField(_("rewarded"), null=True, blank=True)
    created_at = models.DateTimeField(_("signed up"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("referral")
        verbose_name_plural = _("referrals")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=~Q(referrer=F("referred")), name="referral_of_another"),
            models.CheckConstraint(
                condition=~Q(status="rewarded") | Q(reward__gt=0, rewarded_at__isnull=False), name="referral_reward"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["referrer", "-id"], name="referral_by_referrer"),
            models.Index(fields=["due_at"], condition=Q(status="paid"), name="referral_due"),
        ]

    def __str__(self) -> str:
        return f"{self.referrer} → {self.referred}"

    @property
    def public_id(self) -> str:
        return encode_id("ref", self.pk)
