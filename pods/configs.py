"""Saved configurations: what to run, on what, under which limits, for the mode they were made in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _

from accounts.actor import Actor
from accounts.models import Organisation
from lib.clock import now
from lib.errors import Invalid
from lib.secrets import seal
from marketplace.gpus import parse_gpu_query
from marketplace.models import Offer, ProviderAccount
from pods.models import Payer, PodConfig, PodSpec, PodTemplate, RestartPolicy

NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
# registry/path/name:tag@digest, as the Docker reference grammar allows, without spaces and shell characters.
IMAGE = re.compile(
    r"^[a-z0-9][a-z0-9._:/-]{0,180}[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$"
)
MAX_ENV_BYTES = 32 * 1024
MAX_PORTS = 20
MAX_ARGUMENTS = 64
MAX_ARGUMENT = 1000
MAX_GPUS = 64
MAX_DISK_GB = 16_384
MAX_TTL_HOURS = 24 * 365
MAX_VRAM_GB = 1024
COLUMNS = frozenset(
    field.name for field in PodSpec._meta.get_fields() if isinstance(field, models.Field) and field.name != "sealed_env"
) | {"offer"}


def create_config(*, organisation: Organisation, actor: Actor, **columns: Any) -> PodConfig:
    """A new configuration. `env` is a mapping and is stored encrypted; a template fills what is not given.

    Raises Invalid with the fields that are wrong.
    """
    config = PodConfig(organisation=organisation, mode=settings.MODE, created_by=actor.user)
    template = columns.get("template")
    if template is not None:
        columns = {**template_columns(template), **columns}
    _assign(config, columns)
    config.save()
    return config


def change_config(config: PodConfig, *, actor: Actor, **columns: Any) -> PodConfig:
    """Change the columns that are given. Pods that were deployed from it keep what they had."""
    _assign(config, columns)
    config.save()
    return config


def archive_config(config: PodConfig) -> None:
    PodConfig.objects.filter(pk=config.pk, archived_at=None).update(archived_at=now())


def template_columns(template: PodTemplate) -> dict[str, Any]:
    return {
        "image": template.image,
        "command": list(template.command),
        "env": dict(template.env),
        "ports": list(template.ports),
        "min_vram_gb": template.min_vram_gb,
        "disk_gb": template.disk_gb,
        "restart_policy": template.restart_policy,
    }


def _assign(config: PodConfig, columns: dict[str, Any]) -> None:
    unknown = set(columns) - COLUMNS - {"env"}
    if unknown:
        raise TypeError(f"a configuration has no {', '.join(sorted(unknown))}")
    env = columns.pop("env", None)
    for name, value in columns.items():
        setattr(config, name, value)
    problems = check_spec(config, env)
    if problems:
        raise Invalid(_("Some values are not valid."), fields=problems)
    if env is not None:
        config.sealed_env = seal(json.dumps(dict(env))) if env else None


def check_spec(spec: PodConfig, env: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """What is wrong with the values themselves, by field; empty when nothing is."""
    problems: dict[str, list[str]] = {}
    for field, message in [
        *_check_program(spec),
        *_check_resources(spec),
        *_check_payment(spec),
        *_check_env(env or {}),
    ]:
        problems.setdefault(field, []).append(message)
    return problems


Problems = list[tuple[str, str]]


def _check_program(spec: PodConfig) -> Problems:
    found: Problems = []
    if not NAME.match(spec.name or ""):
        found.append(("name", _("Use 1 to 63 lowercase letters, digits and hyphens, such as llama-finetune.")))
    if spec.image and not IMAGE.match(spec.image):
        found.append(("image", _("This is not an image reference, such as pytorch/pytorch:2.8.0-cuda12.8.")))
    if not spec.image and not spec.command:
        found.append(("image", _("Name an image, or a command.")))
    if len(spec.command) > MAX_ARGUMENTS or any(
        _unprintable(part) or len(part) > MAX_ARGUMENT for part in spec.command
    ):
        found.append(("command", _("At most 64 arguments of 1,000 characters each, without control characters.")))
    if spec.restart_policy not in RestartPolicy.values:
        found.append(("restart_policy", _("Choose never, on-failure or always.")))
    if len(spec.ports) > MAX_PORTS or len(set(spec.ports)) != len(spec.ports):
        found.append(("ports", _("At most 20 different ports.")))
    if any(not 1 <= port <= 65535 for port in spec.ports):
        found.append(("ports", _("A port is a number from 1 to 65535.")))
    return found


def _check_resources(spec: PodConfig) -> Problems:
    found: Problems = []
    for field, lowest, highest in (
        ("gpu_count", 1, MAX_GPUS),
        ("disk_gb", 1, MAX_DISK_GB),
        ("min_vram_gb", 0, MAX_VRAM_GB),
    ):
        if not lowest <= getattr(spec, field) <= highest:
            found.append((field, _("Between %(lowest)s and %(highest)s.") % {"lowest": lowest, "highest": highest}))
    if spec.ttl_hours is not None and not 1 <= spec.ttl_hours <= MAX_TTL_HOURS:
        found.append(("ttl_hours", _("Between 1 hour and a year.")))
    if spec.kind not in Offer.Kind.values:
        found.append(("kind", _("Choose on_demand, spot or reserved.")))
    if len(spec.region) > 80 or _unprintable(spec.region):
        found.append(("region", _("At most 80 characters.")))
    if spec.gpu_query:
        try:
            parse_gpu_query(spec.gpu_query)
        except Invalid as refusal:
            found.append(("gpu_query", refusal.message))
    return found


def _check_payment(spec: PodConfig) -> Problems:
    found: Problems = []
    for field in ("max_price_per_hour", "spend_cap"):
        value = getattr(spec, field)
        if value is not None and not (Decimal(0) < value < Decimal(10**9) and value.is_finite()):
            found.append((field, _("Write an amount above zero.")))
    if spec.payer not in Payer.values:
        found.append(("payer", _("Choose wallet, credits or own_key.")))
    account: ProviderAccount | None = spec.provider_account
    if spec.payer == Payer.OWN_KEY and account is None:
        found.append(("provider_account", _("Name the provider account that pays.")))
    if account is not None and (account.organisation_id != spec.organisation_id or account.archived_at is not None):
        found.append(("provider_account", _("There is no such provider account.")))
    return found


def _check_env(env: Mapping[str, str]) -> Problems:
    found: Problems = []
    if any(not ENV_NAME.match(name) for name in env):
        found.append(("env", _("A name consists of letters, digits and underscores.")))
    if any("\x00" in value for value in env.values()) or len(json.dumps(dict(env))) > MAX_ENV_BYTES:
        found.append(("env", _("All values together have at most 32 KB, without NUL.")))
    if any(name.startswith("CATALYST_") for name in env):
        found.append(("env", _("Names that begin with CATALYST_ are ours.")))
    return found


def _unprintable(text: str) -> bool:
    return any(ord(character) < 32 and character not in "\n\t" for character in text)
