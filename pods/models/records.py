"""What was seen of a pod: events, lines and samples."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from pods.models.pods import Pod


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
