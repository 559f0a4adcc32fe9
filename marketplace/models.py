"""GPU models, what is rentable now, and how its price changed."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from lib.ids import encode_id, new_id


class Provider(models.Model):
    """Where GPUs can be had, and how its last listings went."""

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("not asked yet")
        HEALTHY = "healthy", _("healthy")
        DEGRADED = "degraded", _("answers with faults")
        FAILING = "failing", _("failing")

    slug = models.SlugField(primary_key=True, max_length=32)
    name = models.CharField(_("name"), max_length=64)
    website = models.URLField(_("website"), blank=True)
    capabilities = ArrayField(models.CharField(max_length=16), default=list, verbose_name=_("capabilities"))
    enabled = models.BooleanField(_("enabled"), default=True)
    # Written by marketplace.ingest after each listing.
    health = models.CharField(_("health"), max_length=12, choices=Health.choices, default=Health.UNKNOWN)
    last_success_at = models.DateTimeField(_("last good answer"), null=True, blank=True)
    last_attempt_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)
    failures_in_row = models.PositiveIntegerField(_("failures in a row"), default=0)
    refused_rows = models.PositiveIntegerField(_("refused rows in the last listing"), default=0)
    offers_seen = models.PositiveIntegerField(_("offers in the last listing"), default=0)
    latency_ms = models.PositiveIntegerField(_("time of the last listing, ms"), null=True, blank=True)

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")

    def __str__(self) -> str:
        return self.name


class ProviderAccount(models.Model):
    """A customer's own key at a provider, encrypted at rest. GPU cost is then paid to the provider directly."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="provider_accounts")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="accounts")
    name = models.CharField(_("name"), max_length=80)
    sealed_key = models.BinaryField()
    key_hint = models.CharField(_("key ends with"), max_length=8)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("provider account")
        verbose_name_plural = _("provider accounts")

    def __str__(self) -> str:
        return f"{self.provider_id} …{self.key_hint}"

    @property
    def public_id(self) -> str:
        return encode_id("pac", self.pk)


class GpuModel(models.Model):
    """A canonical accelerator model. Figures are the vendor's; `source` says where they stand."""

    slug = models.SlugField(primary_key=True, max_length=48)
    name = models.CharField(_("name"), max_length=64)
    vendor = models.CharField(_("vendor"), max_length=16)
    architecture = models.CharField(_("architecture"), max_length=32, blank=True)
    form_factor = models.CharField(_("form factor"), max_length=16, blank=True)
    kind = models.CharField(_("kind"), max_length=16)  # datacenter, workstation, consumer, cpu
    vram_gb = models.FloatField(_("VRAM, GB"))
    memory_gb_s = models.FloatField(_("memory, GB/s"), null=True, blank=True)
    fp16_tflops = models.FloatField(_("dense FP16, TFLOPS"), null=True, blank=True)
    tdp_w = models.PositiveIntegerField(_("TDP, W"), null=True, blank=True)
    released_year = models.PositiveSmallIntegerField(_("released"), null=True, blank=True)
    synonyms = ArrayField(models.CharField(max_length=64), default=list, verbose_name=_("synonyms"))
    source = models.URLField(_("source"), max_length=300)

    class Meta:
        verbose_name = _("GPU model")
        verbose_name_plural = _("GPU models")

    def __str__(self) -> str:
        return self.name


class Offer(models.Model):
    """Something rentable, seen at `observed_at`. Prices are USD per hour for the whole offer, all its GPUs."""

    class Kind(models.TextChoices):
        ON_DEMAND = "on_demand", _("on-demand")
        SPOT = "spot", _("spot")
        RESERVED = "reserved", _("reserved")

    class Source(models.TextChoices):
        LIVE = "live", _("observed live")
        LIST_PRICE = "list_price", _("list price, not live")
        CATALOG = "catalog", _("imported catalogue, not live")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # No index of its own where one below begins with the column: listings write many rows.
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="offers", db_index=False)
    ref = models.CharField(_("provider's reference"), max_length=200)
    source = models.CharField(_("source"), max_length=12, choices=Source.choices, default=Source.LIVE)
    gpu = models.ForeignKey(GpuModel, on_delete=models.PROTECT, related_name="offers", db_index=False)
    gpu_count = models.PositiveSmallIntegerField(_("GPUs"))
    vram_gb = models.FloatField(_("VRAM per GPU, GB"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    price_per_hour = models.DecimalField(_("price, USD/h"), max_digits=20, decimal_places=6)
    disk_price_gb_month = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    egress_price_gb = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    vcpus = models.FloatField(_("vCPU"), null=True, blank=True)
    ram_gb = models.FloatField(_("RAM, GB"), null=True, blank=True)
    disk_gb = models.FloatField(_("disk, GB"), null=True, blank=True)
    net_down_mbps = models.FloatField(_("net down, Mbit/s"), null=True, blank=True)
    net_up_mbps = models.FloatField(_("net up, Mbit/s"), null=True, blank=True)
    region = models.CharField(_("region"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    tier = models.CharField(_("tier"), max_length=32, blank=True)
    form_factor = models.CharField(_("form factor"), max_length=16, blank=True)
    reliability = models.FloatField(_("reliability"), null=True, blank=True)
    verified = models.BooleanField(_("verified"), default=True)
    available_count = models.PositiveIntegerField(_("available"), null=True, blank=True)
    max_duration_s = models.PositiveBigIntegerField(null=True, blank=True)
    extra = models.JSONField(default=dict, blank=True)
    observed_at = models.DateTimeField(_("observed"))
    first_seen_at = models.DateTimeField(_("first seen"), db_default=Now())
    # Named in the provider's last good listing. Its age is then that of the listing, so that hearing the same again
    # is no change of the row; the snapshot in memory relies on it.
    listed = models.BooleanField(_("in the last listing"), default=True, editable=False)
    # Set when a listing that succeeded no longer names the offer; history stays.
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    # The market's version at the last change of this row; the snapshot in memory follows it.
    version = models.BigIntegerField(db_index=True, default=0, editable=False)

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["provider", "source", "ref", "kind"], name="offer_once"),
            models.CheckConstraint(condition=Q(price_per_hour__gt=0), name="offer_price_positive"),
            models.CheckConstraint(condition=Q(gpu_count__gt=0), name="offer_gpus_positive"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["gpu", "kind", "price_per_hour"], condition=Q(withdrawn_at=None), name="offer_by_gpu"),
        ]

    def __str__(self) -> str:
        return f"{self.gpu_count} × {self.gpu_id} at {self.provider_id}"

    @property
    def public_id(self) -> str:
        return encode_id("off", self.pk)


class PricePoint(models.Model):
    """A change of an offer's price, or one row of imported history. Prices are USD per GPU-hour."""

    id = models.BigAutoField(primary_key=True)
    offer = models.ForeignKey(Offer, on_delete=models.CASCADE, null=True, related_name="price_points", db_index=False)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="+", db_index=False)
    gpu = models.ForeignKey(GpuModel, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=Offer.Kind.choices)
    region = models.CharField(max_length=80, blank=True)
    price_per_gpu_hour = models.DecimalField(max_digits=20, decimal_places=6)
    at = models.DateTimeField()
    source = models.CharField(max_length=48)

    class Meta:
        verbose_name = _("price change")
        verbose_name_plural = _("price history")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["gpu", "at"], name="price_by_gpu"),
            models.Index(fields=["offer", "at"], name="price_by_offer"),
        ]

    def __str__(self) -> str:
        return f"{self.gpu_id} {self.price_per_gpu_hour} at {self.at:%Y-%m-%d %H:%M}"


class MarketVersion(models.Model):
    """One row: counts the ingestions that changed something."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("market version")
        verbose_name_plural = _("market version")

    def __str__(self) -> str:
        return str(self.version)
