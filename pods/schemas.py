"""What the routes of pods take and answer. Ids are public ids, money is `{"amount", "currency"}`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field

from lib.money import money_json
from marketplace.models import Offer, ProviderAccount
from pods import receipts
from pods.models import Placement, Pod, PodConfig, PodEvent
from pods.pricing import Price
from pods.validation import Problem

PriceIn = Decimal
# The database stores no NUL.
Line = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class ConfigIn(Schema):
    """Everything may be left out but the name; a template fills what is left out."""

    name: Line = Field(max_length=63)
    template: str | None = Field(None, max_length=48)
    image: Line | None = Field(None, max_length=200)
    command: list[str] | None = Field(None, max_length=64)
    env: dict[str, str] | None = None
    ports: list[int] | None = Field(None, max_length=20)
    gpu_query: Line | None = Field(None, max_length=200)
    gpu_count: int | None = Field(None, ge=1, le=64)
    min_vram_gb: float | None = Field(None, ge=0, le=1024, allow_inf_nan=False)
    kind: Literal["on_demand", "spot", "reserved"] | None = None
    max_price_per_hour: PriceIn | None = Field(None, gt=0, max_digits=14, decimal_places=6)
    region: Line | None = Field(None, max_length=80)
    disk_gb: int | None = Field(None, ge=1, le=16_384)
    auto_select: bool | None = None
    restart_policy: Literal["never", "on-failure", "always"] | None = None
    ttl_hours: int | None = Field(None, ge=1, le=24 * 365)
    spend_cap: PriceIn | None = Field(None, gt=0, max_digits=14, decimal_places=6)
    payer: Literal["wallet", "credits", "own_key"] | None = None
    provider_account: str | None = Field(None, max_length=40)
    offer: str | None = Field(None, max_length=40)


class ConfigPatch(ConfigIn):
    name: Line | None = Field(None, max_length=63)  # type: ignore[assignment]


class DeployIn(Schema):
    """`offer` may be left out: then the configuration's own, or the best one that fits."""

    config: str = Field(max_length=40)
    offer: str | None = Field(None, max_length=40)
    # What was shown, all in and per hour: more than 2 % above it is refused.
    expected_price_per_hour: PriceIn | None = Field(None, gt=0, max_digits=14, decimal_places=6)


class ChoiceIn(Schema):
    config: str = Field(max_length=40)
    offer: str | None = Field(None, max_length=40)


class ActionIn(Schema):
    action: Literal["stop", "start", "restart", "terminate", "crash", "checkpoint", "try_next_best"]


class ProviderAccountIn(Schema):
    provider: Line = Field(max_length=32)
    name: Line = Field("", max_length=80)
    key: str = Field(min_length=8, max_length=500)


class ProviderAccountPatch(Schema):
    name: Line | None = Field(None, max_length=80)
    key: str | None = Field(None, min_length=8, max_length=500)


def show_config(config: PodConfig) -> dict[str, Any]:
    account = config.provider_account
    return _show_spec(config) | {
        "id": config.public_id,
        "mode": config.mode,
        "provider_account": account.public_id if account else None,
        "created_at": config.created_at,
        "updated_at": config.updated_at,
    }


def show_pod(pod: Pod) -> dict[str, Any]:
    return _show_spec(pod) | {
        "id": pod.public_id,
        "mode": pod.mode,
        "status": pod.status,
        "desired_status": pod.desired_status,
        "reason": pod.reason,
        "message": pod.message,
        "epoch": pod.epoch,
        "version": pod.version,
        "restarts": pod.restarts,
        "exit_code": pod.exit_code,
        "last_step": pod.last_step,
        "created_at": pod.created_at,
        "status_at": pod.status_at,
        "first_running_at": pod.first_running_at,
        "ends_at": pod.ends_at,
        "terminated_at": pod.terminated_at,
    }


def show_pod_with_places(pod: Pod) -> dict[str, Any]:
    rows = pod.placements.select_related("provider").order_by("-epoch", "-attempt")[:50]
    return show_pod(pod) | {"placements": [show_placement(row) for row in rows]}


def show_placement(row: Placement) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "epoch": row.epoch,
        "attempt": row.attempt,
        "provider": row.provider_id,
        "ref": row.ref,
        "status": row.status,
        "phase": row.phase,
        "gpu": row.gpu_name,
        "region": row.region,
        "price_per_hour": money_json(row.price_per_hour, row.currency),
        "ssh": {"host": row.ssh_host, "port": row.ssh_port, "user": row.ssh_user} if row.ssh_host else None,
        "ports": row.ports,
        "requested_at": row.requested_at,
        "created_at": row.created_at,
        "reached_at": row.reached_at,
        "ended_at": row.ended_at,
        "seconds": _seconds(row.requested_at, row.ended_at),
        "billed_seconds": row.billed_seconds,
        "billed": money_json(row.billed_amount, row.currency),
        "error": row.error,
    }


def show_event(event: PodEvent) -> dict[str, Any]:
    names = ("at", "epoch", "kind", "old_status", "new_status", "reason", "message", "actor", "data")
    return {"id": event.pk} | {name: getattr(event, name) for name in names}


def show_receipt(row: Placement) -> dict[str, Any]:
    receipt: dict[str, Any] = row.receipt or {}
    return receipt | {"placement": row.public_id, "number": receipts.digest(receipt)}


def show_price(price: Price, offer: Offer) -> dict[str, Any]:
    parts = {
        "gpu": price.gpu,
        "disk": price.disk_running,
        "fee": price.fee,
        "per_hour": price.per_hour,
        "per_day": price.per_day,
        "per_month": price.per_month,
        "stopped_per_hour": price.disk_stopped,
    }
    shown = {name: money_json(amount, price.currency) for name, amount in parts.items()}
    return shown | {"offer": offer.public_id, "provider": offer.provider_id, "gpu_model": offer.gpu_id}


def show_problem(problem: Problem) -> dict[str, str]:
    return {"field": problem.field, "code": problem.code, "message": problem.message}


def show_provider_account(account: ProviderAccount) -> dict[str, Any]:
    """The key itself is never shown again: only its last characters."""
    return {
        "id": account.public_id,
        "provider": account.provider_id,
        "name": account.name,
        "key_hint": account.key_hint,
        "created_at": account.created_at,
        "checked_at": account.checked_at,
        "problem": account.problem,
    }


def _show_spec(spec: PodConfig | Pod) -> dict[str, Any]:
    names = (
        "name", "image", "command", "ports", "gpu_query", "gpu_count", "min_vram_gb", "kind", "region", "disk_gb",
        "auto_select", "restart_policy", "ttl_hours", "payer",
    )  # fmt: skip
    cap_currency = "CREDIT" if spec.payer == "credits" else "USD"
    return {name: getattr(spec, name) for name in names} | {
        "template": spec.template_id,
        "env_set": spec.sealed_env is not None,
        "offer": spec.offer.public_id if spec.offer else None,
        "max_price_per_hour": money_json(spec.max_price_per_hour, "USD") if spec.max_price_per_hour else None,
        "spend_cap": money_json(spec.spend_cap, cap_currency) if spec.spend_cap else None,
    }


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None
