"""Machines whose agent reports to us, what was asked of them, and the committed states of pods."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from catalyst.states import NodeStatus
from lib.ids import encode_id, new_id
from pods.models import Pod


class NodeToken(models.Model):
    """A one-time token with which a machine enrols. Only its hash is kept."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, null=True, blank=True, related_name="node_tokens"
    )
    name = models.CharField(_("name"), max_length=63)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    is_local = models.BooleanField(_("a local node of this installation"), default=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("used"), null=True, blank=True)

    class Meta:
        verbose_name = _("node token")
        verbose_name_plural = _("node tokens")

    def __str__(self) -> str:
        return self.name


class Node(models.Model):
    """A machine. It is alive while its lease lasts, by the database's clock."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(  # whose machine; none: this installation's own
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="nodes"
    )
    name = models.CharField(_("name"), max_length=63)
    key_hash = models.CharField(max_length=64, editable=False)
    is_local = models.BooleanField(_("local"), default=False)
    status = models.CharField(_("status"), max_length=12, choices=NodeStatus.choices, default=NodeStatus.ENROLLED)
    machine = models.JSONField(_("machine"), default=dict)
    vcpus = models.FloatField(_("vCPU offered"), default=0)
    ram_gb = models.FloatField(_("RAM offered, GB"), default=0)
    disk_gb = models.FloatField(_("disk offered, GB"), default=0)
    slots = models.PositiveSmallIntegerField(_("pods at once"), default=1)
    price_per_hour = models.DecimalField(
        _("price of a slot, USD/h"), max_digits=20, decimal_places=6, default=Decimal("0.02")
    )
    region = models.CharField(_("region"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    gauges = models.JSONField(default=dict, blank=True)
    enrolled_at = models.DateTimeField(_("enrolled"), db_default=Now(), editable=False)
    last_beat_at = models.DateTimeField(_("last beat"), null=True, blank=True)
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True, db_index=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("node")
        verbose_name_plural = _("nodes")

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        return encode_id("nod", self.pk)


class BeatIngest(models.Model):
    """A process that receives beats, and since when it has done so without a gap, by the database's clock.

    Leases that ran out while nobody listened say nothing about the nodes.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    steady_since = models.DateTimeField()
    beat_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("beat ingest")
        verbose_name_plural = _("beat ingests")

    def __str__(self) -> str:
        return str(self.id)


class NodePod(models.Model):
    """A placement on a node, as the node last told: the instance that the catalyst provider answers with."""

    class State(models.TextChoices):
        ASKED = "asked", _("asked")
        STARTING = "starting", _("starting")
        RUNNING = "running", _("running")
        RESTARTING = "restarting", _("restarting")
        EXITED = "exited", _("exited")
        FAILED = "failed", _("failed")
        STOPPED = "stopped", _("stopped")
        GONE = "gone", _("gone")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="pods")
    placement_key = models.CharField(max_length=120, unique=True)
    pod = models.ForeignKey(Pod, on_delete=models.PROTECT, related_name="node_pods")
    epoch = models.PositiveIntegerField()
    slot = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.ASKED)
    reason = models.CharField(max_length=24, blank=True)
    exit_code = models.IntegerField(null=True)
    restarts = models.PositiveIntegerField(default=0)
    ports = models.JSONField(default=dict, blank=True)
    message = models.CharField(max_length=500, blank=True)
    log_number = models.BigIntegerField(default=0)  # the last line stored
    started_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("pod on a node")
        verbose_name_plural = _("pods on nodes")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pod", "epoch"], name="node_pod_once"),
            models.UniqueConstraint(
                fields=["node", "slot"],
                condition=Q(state__in=["asked", "starting", "running", "restarting"]),
                name="node_slot_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pod_id} epoch {self.epoch} on {self.node_id}"


class NodeCommand(models.Model):
    """The outbox to an agent: sent again after each reconnect until the agent says that it is done."""

    class Kind(models.TextChoices):
        START = "start", _("start")
        STOP = "stop", _("stop")
        SIGNAL = "signal", _("signal")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="commands")
    node_pod = models.ForeignKey(NodePod, on_delete=models.CASCADE, related_name="commands")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    # What the agent needs beside the ids; the environment stays sealed in the pod's row until it is sent.
    body = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)
    ok = models.BooleanField(null=True)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("node command")
        verbose_name_plural = _("node commands")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["node", "created_at"], condition=Q(done_at=None), name="command_open"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} → {self.node}"


class Checkpoint(models.Model):
    """A committed state of a pod. The row exists only if the epoch was the pod's own when it was written."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pod = models.ForeignKey(Pod, on_delete=models.PROTECT, related_name="checkpoints")
    epoch = models.PositiveIntegerField()
    sequence = models.PositiveBigIntegerField()
    step = models.BigIntegerField(null=True)
    root = models.CharField(max_length=64)
    parent = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField()
    size_bytes = models.BigIntegerField()
    new_bytes = models.BigIntegerField(default=0)
    committed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pod", "sequence"], name="checkpoint_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pod_id} #{self.sequence}"


class Failover(models.Model):
    """One move of a pod away from a lost place: when it was seen, what was lost, when work resumed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pod = models.ForeignKey(Pod, on_delete=models.PROTECT, related_name="failovers")
    from_epoch = models.PositiveIntegerField()
    to_epoch = models.PositiveIntegerField()
    from_node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="+")
    to_node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="+")
    cause = models.CharField(max_length=32)
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.SET_NULL, null=True, related_name="+")
    last_seen_at = models.DateTimeField(null=True)  # the last beat before the silence
    detected_at = models.DateTimeField(db_default=Now())
    resumed_at = models.DateTimeField(null=True)
    false_alarm = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("failover")
        verbose_name_plural = _("failovers")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pod", "from_epoch"], name="failover_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pod_id} {self.from_epoch} → {self.to_epoch}"

    @property
    def seconds(self) -> float | None:
        """From the last beat before the silence until the pod ran again."""
        if self.last_seen_at is None or self.resumed_at is None:
            return None
        return (self.resumed_at - self.last_seen_at).total_seconds()
