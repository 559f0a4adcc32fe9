"""One row for each journey: who came, from where, for which plan, and how far they are."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from billing.models import Payment, Plan
from enrollment.states import EnrolmentStatus
from lib.ids import encode_id, new_id
from pods.models import Pod, PodConfig


class IdentityKind(models.TextChoices):
    NONE = "none", _("none")
    RUC = "ruc", _("RUC, 13 digits")
    CEDULA = "cedula", _("cédula, 10 digits")


class Enrolment(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="enrolments")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="enrolments")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    country = models.CharField(_("country"), max_length=2)
    identity_kind = models.CharField(_("identity"), max_length=8, choices=IdentityKind.choices)
    identity = models.CharField(_("identity number"), max_length=20, blank=True)
    status = models.CharField(
        _("status"), max_length=12, choices=EnrolmentStatus.choices, default=EnrolmentStatus.STARTED
    )
    message = models.CharField(_("message"), max_length=500, blank=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    # The draft that the person filled before signing in; none: the plan's starter template is used.
    config = models.ForeignKey(PodConfig, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    pod = models.ForeignKey(Pod, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    key_hash = models.CharField(max_length=64, blank=True, db_index=True, editable=False)
    key_sent_at = models.DateTimeField(_("key sent"), null=True, blank=True)
    key_expires_at = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True)
    token = models.CharField(max_length=64, blank=True, editable=False)  # of the form that began it
    created_at = models.DateTimeField(_("started"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("enrolment")
        verbose_name_plural = _("enrolments")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["created_at"], condition=models.Q(status__in=["started", "abandoned"]), name="enrolment_unpaid"
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["payment"], condition=models.Q(payment__isnull=False), name="enrolment_payment_once"
            ),
            models.UniqueConstraint(fields=["token"], condition=~models.Q(token=""), name="enrolment_started_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} → {self.plan_id}"

    @property
    def public_id(self) -> str:
        return encode_id("enr", self.pk)
