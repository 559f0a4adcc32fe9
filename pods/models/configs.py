"""What a customer wants to run: templates, and configurations of pods."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from lib.ids import encode_id, new_id
from marketplace.models import Offer, ProviderAccount


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
