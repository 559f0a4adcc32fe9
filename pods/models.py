"""What a customer runs: the configuration, the pod, where it is placed, what happened and what was used."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from lib.ids import encode_id, new_id
from lib.leases import Leased
from marketplace.models import Offer, Provider, ProviderAccount
from pods.states import DesiredStatus, PodStatus, Reason


class RestartPolicy(models.TextChoices):
    NEVER = "never", _("never")
    ON_FAILURE = "on-failure", _("on failure, up to 5 times")
    ALWAYS = "always", _("always")


class Mode(models.TextChoices):
    SANDBOX = "SANDBOX", _("sandbox")
    LIVE = "LIVE", _("live")


class Payer(models.TextChoices):
    WALLET = "wallet", _("wallet, USD")
    CREDITS = "credits", _("compute credits")
    OWN_KEY = "own_key", _("the customer's own key at the provider")


class PodTemplate(models.Model):
    """A ready-made thing to run. Those without an organisation are ours and offered to all."""

    slug = models.SlugField(primary_key=True, max_length=48)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    description = models.TextField(_("description"), blank=True)
    image = models.CharField(_("image"), max_length=200, blank=True)
    command = ArrayField(models.CharField(max_length=1000), default=list, verbose_name=_("command"))
    env = models.JSONField(_("environment"), default=dict, blank=True)
    ports = ArrayField(models.PositiveIntegerField(), default=list, blank=True, verbose_name=_("ports"))
    min_vram_gb = models.FloatField(_("VRAM at least, GB"), default=0)
    disk_gb = models.PositiveIntegerField(_("disk, GB"), default=10)
    restart_policy = models.CharField(max_length=12, choices=RestartPolicy.choices, default=RestartPolicy.ON_FAILURE)
    checkpoints = models.BooleanField(_("writes checkpoints"), default=False)

    class Meta:
        verbose_name = _("template")
        verbose_name_plural = _("templates")

    def __str__(self) -> str:
        return self.name


class PodSpec(models.Model):
    """The columns that a configuration and a pod share: what to run, on what, under which limits."""

    name = models.CharField(_("name"), max_length=63)
    template = models.ForeignKey(PodTemplate, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    image = models.CharField(_("image"), max_length=200, blank=True)
    command = ArrayField(models.CharField(max_length=1000), default=list, blank=True, verbose_name=_("command"))
    sealed_env = models.BinaryField(null=True, blank=True)  # JSON object of the environment, encrypted
    ports = ArrayField(models.PositiveIntegerField(), default=list, blank=True, verbose_name=_("ports"))
    # What is asked of the market when the chosen offer is gone, or when none was chosen.
    gpu_query = models.CharField(_("GPU"), max_length=200, blank=True)
    gpu_count = models.PositiveSmallIntegerField(_("GPUs"), default=1)
    min_vram_gb = models.FloatField(_("VRAM at least, GB"), default=0)
    kind = models.CharField(_("kind"), max_length=12, choices=Offer.Kind.choices, default=Offer.Kind.ON_DEMAND)
    max_price_per_hour = models.DecimalField(
        _("price at most, USD/h"), max_digits=20, decimal_places=6, null=True, blank=True
    )
    region = models.CharField(_("region"), max_length=80, blank=True)
    disk_gb = models.PositiveIntegerField(_("disk, GB"), default=10)
    auto_select = models.BooleanField(_("take the next best offer when this one is gone"), default=True)
    restart_policy = models.CharField(max_length=12, choices=RestartPolicy.choices, default=RestartPolicy.ON_FAILURE)
    ttl_hours = models.PositiveIntegerField(_("ends after, hours"), null=True, blank=True, default=24)
    spend_cap = models.DecimalField(_("spend cap"), max_digits=20, decimal_places=6, null=True, blank=True)
    payer = models.CharField(_("paid from"), max_length=12, choices=Payer.choices, default=Payer.WALLET)
    provider_account = models.ForeignKey(
        ProviderAccount, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        abstract = True


class PodConfig(PodSpec):
    """A draft or a saved configuration, kept with the mode that it was made for."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="pod_configs")
    mode = models.CharField(_("mode"), max_length=8, choices=Mode.choices)
    offer = models.ForeignKey(Offer, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)

    class Meta:
        verbose_name = _("pod configuration")
        verbose_name_plural = _("pod configurations")

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        return encode_id("cfg", self.pk)


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


class PodEvent(models.Model):
    """One line of the timeline. Written in the same transaction as the change it tells of."""

    id = models.BigAutoField(primary_key=True)
    pod = models.ForeignKey(Pod, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(db_default=Now())
    epoch = models.PositiveIntegerField(default=0)
    kind = models.CharField(max_length=32)
    old_status = models.CharField(max_length=12, blank=True)
    new_status = models.CharField(max_length=12, blank=True)
    reason = models.CharField(max_length=20, blank=True)
    message = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("pod event")
        verbose_name_plural = _("pod events")
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["pod", "-id"], name="event_by_pod")]

    def __str__(self) -> str:
        return f"{self.kind} {self.message}"


class LogLine(models.Model):
    """`number` rises by one within a pod's epoch, so that a line sent twice is stored once."""

    id = models.BigAutoField(primary_key=True)
    pod = models.ForeignKey(Pod, on_delete=models.CASCADE, related_name="log_lines")
    epoch = models.PositiveIntegerField()
    number = models.BigIntegerField()
    at = models.DateTimeField()
    stream = models.CharField(max_length=8, default="stdout")
    text = models.CharField(max_length=4000)

    class Meta:
        verbose_name = _("log line")
        verbose_name_plural = _("log lines")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pod", "epoch", "number"], name="log_line_once"),
        ]

    def __str__(self) -> str:
        return self.text


class MetricSample(models.Model):
    id = models.BigAutoField(primary_key=True)
    pod = models.ForeignKey(Pod, on_delete=models.CASCADE, related_name="metric_samples")
    at = models.DateTimeField()
    epoch = models.PositiveIntegerField(default=0)
    cpu_percent = models.FloatField(null=True)
    ram_bytes = models.BigIntegerField(null=True)
    disk_bytes = models.BigIntegerField(null=True)
    gpu_percent = models.FloatField(null=True)
    vram_bytes = models.BigIntegerField(null=True)
    step = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = _("metric sample")
        verbose_name_plural = _("metric samples")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["pod", "at"], name="metric_by_pod"),
            models.Index(fields=["at"], name="metric_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.pod_id} {self.at:%H:%M:%S}"


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
