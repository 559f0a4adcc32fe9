"""What runs, and where it is placed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from lib.ids import encode_id, new_id
from lib.leases import Leased
from marketplace.models import Offer, Provider, ProviderAccount
from pods.models.configs import Mode, Payer, PodConfig, PodSpec
from pods.states import DesiredStatus, PodStatus, Reason


class Pod(PodSpec, Leased):
    """What was asked for, long-lived, surviving moves. `epoch` fences: only the placement of this epoch counts."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="pods")
    config = models.ForeignKey(PodConfig, on_delete=models.SET_NULL, null=True, blank=True, related_name="pods")
    deploy_key = models.CharField(max_length=120, blank=True, editable=False)  # of the request that made it
    mode = models.CharField(_("mode"), max_length=8, choices=Mode.choices)
    offer = models.ForeignKey(Offer, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # What the customer was shown for the whole offer, without disk; what is rented may cost at most 2 % more.
    quoted_price_per_hour = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    status = models.CharField(_("status"), max_length=12, choices=PodStatus.choices, default=PodStatus.QUEUED)
    desired_status = models.CharField(
        _("wanted"), max_length=12, choices=DesiredStatus.choices, default=DesiredStatus.RUNNING
    )
    desired_reason = models.CharField(_("why"), max_length=20, choices=Reason.choices, blank=True, default="")
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices, blank=True, default="")
    message = models.CharField(_("message"), max_length=500, blank=True)
    epoch = models.PositiveIntegerField(_("epoch"), default=0)
    version = models.PositiveBigIntegerField(default=0)
    restarts = models.PositiveIntegerField(_("restarts"), default=0)
    exit_code = models.IntegerField(_("exit code"), null=True, blank=True)
    last_step = models.BigIntegerField(_("last step"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    status_at = models.DateTimeField(_("status since"), db_default=Now())
    # When the present search for a place began; offers refused since then are not asked again.
    seeking_since = models.DateTimeField(db_default=Now())
    first_running_at = models.DateTimeField(_("first reached"), null=True, blank=True)
    ends_at = models.DateTimeField(_("ends"), null=True, blank=True)
    terminated_at = models.DateTimeField(_("terminated"), null=True, blank=True)
    funds_warned_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("pod")
        verbose_name_plural = _("pods")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-created_at"], name="pod_by_organisation"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation", "deploy_key"], condition=~Q(deploy_key=""), name="pod_deployed_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        return encode_id("pod", self.pk)


class Placement(models.Model):
    """Where a pod is during one epoch: the offer, the provider's reference, the price at that time. Never deleted."""

    class Status(models.TextChoices):
        REQUESTED = "requested", _("requested")
        CREATING = "creating", _("creating")
        LIVE = "live", _("live")
        STOPPED = "stopped", _("stopped, disk kept")
        ENDING = "ending", _("ending")
        LOST = "lost", _("lost")
        GONE = "gone", _("gone")
        REFUSED = "refused", _("refused")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pod = models.ForeignKey(Pod, on_delete=models.PROTECT, related_name="placements")
    epoch = models.PositiveIntegerField()
    attempt = models.PositiveSmallIntegerField(default=1)
    offer = models.ForeignKey(Offer, on_delete=models.SET_NULL, null=True, related_name="+")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="placements")
    provider_account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, null=True, related_name="+")
    # Whose machine it is, when the offer says so: earns the operator's share.
    operator = models.ForeignKey(Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    ref = models.CharField(_("provider's reference"), max_length=200, blank=True)
    status = models.CharField(_("status"), max_length=12, choices=Status.choices, default=Status.REQUESTED)
    phase = models.CharField(_("phase"), max_length=16, blank=True)
    phase_at = models.DateTimeField(_("phase since"), db_default=Now())
    payer = models.CharField(max_length=12, choices=Payer.choices)
    price_per_hour = models.DecimalField(_("price per hour"), max_digits=20, decimal_places=6)
    currency = models.CharField(max_length=6, default="USD")
    provider_price_per_hour = models.DecimalField(max_digits=20, decimal_places=6)
    gpu_name = models.CharField(max_length=80, blank=True)
    region = models.CharField(max_length=80, blank=True)
    ssh_host = models.CharField(max_length=255, blank=True)
    ssh_port = models.PositiveIntegerField(null=True, blank=True)
    ssh_user = models.CharField(max_length=32, blank=True)
    ports = models.JSONField(default=dict, blank=True)
    requested_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(null=True, blank=True)
    reached_at = models.DateTimeField(_("first reached"), null=True, blank=True)
    # The last proof that it ran: a provider's answer or a report of its node. Nothing is billed beyond it.
    seen_at = models.DateTimeField(_("last seen running"), null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    seen_gone = models.PositiveSmallIntegerField(default=0)
    seen_gone_at = models.DateTimeField(null=True, blank=True)
    log_cursor = models.CharField(max_length=200, blank=True)
    # Metering: seconds and money of this placement so far; `billed_until` moves with each usage row.
    # `earlier_seconds` are those of runs before a stop that kept the disk. `meter_due_at` is empty when everything
    # is settled. `hold_id` holds the money of the next minutes.
    earlier_seconds = models.PositiveBigIntegerField(default=0)
    meter_due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    hold_id = models.UUIDField(null=True, blank=True)
    held_amount = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    billed_until = models.DateTimeField(null=True, blank=True)
    billed_seconds = models.PositiveBigIntegerField(default=0)
    billed_amount = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    error = models.CharField(max_length=500, blank=True)
    receipt = models.JSONField(null=True, blank=True)

    class Meta:
        verbose_name = _("placement")
        verbose_name_plural = _("placements")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pod", "epoch", "attempt"], name="placement_once"),
            models.UniqueConstraint(
                fields=["pod"],
                condition=Q(status__in=["requested", "creating", "live", "stopped"]),
                name="placement_one_current",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pod} epoch {self.epoch}"

    @property
    def public_id(self) -> str:
        return encode_id("plc", self.pk)

    @property
    def key(self) -> str:
        """The idempotency key of creation; it stands in the provider's own name or tag."""
        return f"gpubroker-{self.pod_id.hex}-{self.epoch}-{self.attempt}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_PLACEMENTS


# At most one placement of a pod is in one of these; the constraint above says the same.
OPEN_PLACEMENTS = frozenset(
    {Placement.Status.REQUESTED, Placement.Status.CREATING, Placement.Status.LIVE, Placement.Status.STOPPED}
)
