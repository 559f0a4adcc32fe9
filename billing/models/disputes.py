"""A renter against the owner of a machine: what is asked for, what both sides say and show, what staff decided."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from billing.models.ledger import Currency
from billing.states import DisputeReason, DisputeStatus
from lib.ids import encode_id, new_id


class Dispute(models.Model):
    """About what was paid to `owner` for a pod's usage between `usage_from` and `usage_until`: `paid`, of which
    `earned` went to the owner. `held` of the owner's earnings is set aside until it is over."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    renter = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="disputes")
    owner = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="disputes_as_owner")
    pod_id = models.UUIDField()  # a pod is a noun of a higher app
    pod_name = models.CharField(_("pod"), max_length=63)
    usage_from = models.DateTimeField(_("usage from"))
    usage_until = models.DateTimeField(_("usage until"))
    paid = models.DecimalField(_("paid"), max_digits=20, decimal_places=6)
    earned = models.DecimalField(_("earned by the owner"), max_digits=20, decimal_places=6)
    amount = models.DecimalField(_("disputed"), max_digits=20, decimal_places=6)
    held = models.DecimalField(_("held"), max_digits=20, decimal_places=6, default=0)
    currency = models.CharField(max_length=6, choices=Currency.choices)
    reason = models.CharField(_("reason"), max_length=16, choices=DisputeReason.choices)
    text = models.TextField(_("what happened"), max_length=4000)
    status = models.CharField(_("status"), max_length=12, choices=DisputeStatus.choices, default=DisputeStatus.OPEN)
    due_at = models.DateTimeField(_("deadline"), null=True, blank=True)  # of the status that it is in
    answer = models.TextField(_("the owner's answer"), max_length=4000, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    refunded = models.DecimalField(_("refunded"), max_digits=20, decimal_places=6, default=0)
    opened_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    idempotency_key = models.CharField(max_length=120, editable=False)
    created_at = models.DateTimeField(_("opened"), db_default=Now(), editable=False)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["renter", "idempotency_key"], name="dispute_opened_once"),
            models.UniqueConstraint(
                fields=["pod_id", "owner"], condition=~Q(status="final"), name="dispute_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0, amount__lte=F("paid"), earned__lte=F("paid")), name="dispute_within_paid"
            ),
            models.CheckConstraint(
                condition=Q(refunded__gte=0, refunded__lte=F("amount"), held__gte=0, held__lte=F("earned")),
                name="dispute_refunded_within",
            ),
            models.CheckConstraint(condition=~Q(renter=F("owner")), name="dispute_two_sides"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["owner", "-id"], name="dispute_by_owner"),
            models.Index(fields=["due_at"], condition=~Q(status="final"), name="dispute_due"),
        ]

    def __str__(self) -> str:
        return f"{self.pod_name}: {self.amount} {self.currency}"

    @property
    def public_id(self) -> str:
        return encode_id("dsp", self.pk)


class DisputeDecision(models.Model):
    """The first one can be appealed against, the second is final. Without a person: a deadline decided."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="decisions")
    number = models.PositiveSmallIntegerField()
    refund = models.DecimalField(_("refund"), max_digits=20, decimal_places=6)
    note = models.TextField(_("reason"), max_length=2000)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dispute", "number"], name="dispute_decision_once"),
            models.CheckConstraint(condition=Q(refund__gte=0, number__in=[1, 2]), name="dispute_decision_sound"),
        ]

    def __str__(self) -> str:
        return f"{self.dispute_id}: {self.refund}"


class DisputeAppeal(models.Model):
    """Once for each side."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="appeals")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(_("why"), max_length=4000)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("appeal")
        verbose_name_plural = _("appeals")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dispute", "organisation"], name="dispute_appeal_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dispute_id}: {self.organisation_id}"


class DisputeRecord(models.Model):
    """What our own records say, copied when the dispute was opened: they are pruned, and both sides argue from them."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="records")
    name = models.SlugField(max_length=24)  # usage, events, log, nodes, failovers
    # What only this side and staff may read, such as the output of the renter's program.
    only_for = models.ForeignKey(Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    rows = models.JSONField(_("rows"))  # a list of flat objects

    class Meta:
        verbose_name = _("record")
        verbose_name_plural = _("records")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dispute", "name"], name="dispute_record_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dispute_id}: {self.name}"


class DisputeEvidence(models.Model):
    """A file that a side has handed in. The same file twice is one row."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="evidence")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(_("name"), max_length=120)
    content_type = models.CharField(_("type"), max_length=40)
    path = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField(_("size, bytes"))
    created_at = models.DateTimeField(_("handed in"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dispute", "organisation", "sha256"], name="dispute_file_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        return encode_id("evd", self.pk)
