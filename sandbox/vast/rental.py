"""A rented machine: what the create request asks for, and how the instance is shown."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.fleet import Instance
from sandbox.listeners import SSH_PORT

# "ssh_direc" is in the wild beside the documented "ssh_direct".
RUNTYPES = {"ssh", "ssh_direc", "jupyter", "args", "ssh_proxy", "ssh_direct", "jupyter_proxy", "jupyter_direct"}
MOST_PORTS = 16
LOWEST_BID, HIGHEST_BID = 0.001, 128.0
# Columns that a list may be filtered by: stored ones, as against computed ones such as dph_total.
FILTERS = {"id", "label", "actual_status", "intended_status", "cur_state", "gpu_name", "verification", "machine_id"}

STATUS = {
    "running": ("running", "running"),
    "stopped": ("stopped", "stopped"),
    "exited": ("exited", "running"),
    "failed": ("offline", "running"),
    "preempted": ("stopped", "stopped"),
}


class BadRequest(ValueError):
    """`code` is Vast's own word for what is wrong."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Wish:
    """A create request, checked."""

    image: str
    disk_gb: float
    label: str | None
    runtype: str
    bid: float | None
    env: list[list[str]]
    ports: list[int]
    onstart: str | None
    args: list[str]
    stopped: bool
    template: str | None


def read_wish(body: dict[str, Any]) -> Wish:
    template = _text(body, "template_hash_id")
    image = _text(body, "image")
    if not image and not template:
        raise BadRequest("invalid_args", "error 400/3467: Invalid args: 'image' is required")
    runtype = _text(body, "runtype") or ("args" if body.get("args") or body.get("args_str") else "ssh")
    if runtype not in RUNTYPES:
        raise BadRequest("invalid_args", f"error 400/3467: Invalid args: unknown runtype '{runtype}'")
    target = body.get("target_state", "running")
    if target not in ("running", "stopped"):
        raise BadRequest("invalid_args", "error 400/3467: Invalid args: target_state is running or stopped")
    env = _env(body.get("env"))
    return Wish(
        image=image or "vastai/base-image:@vastai-automatic-tag",
        disk_gb=_number(body, "disk", 10.0, low=1.0),
        label=_text(body, "label"),
        runtype=runtype,
        bid=_bid(body),
        env=env,
        ports=_ports(env),
        onstart=_text(body, "onstart"),
        args=_args(body),
        stopped=target == "stopped",
        template=template,
    )


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest("invalid_args", f"error 400/3467: Invalid args: '{name}' must be a string")
    return value


def _number(body: dict[str, Any], name: str, usual: float, *, low: float) -> float:
    value = body.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < low:
        raise BadRequest("invalid_args", f"error 400/3467: Invalid args: '{name}' must be a number from {low:g}")
    return float(value)


def _bid(body: dict[str, Any]) -> float | None:
    if body.get("price") is None:
        return None
    try:
        bid = _number(body, "price", 0.0, low=LOWEST_BID)
    except BadRequest as error:
        raise BadRequest("invalid_price", str(error)) from None
    if bid > HIGHEST_BID:
        raise BadRequest("invalid_price", f"error 400/3467: Invalid args: 'price' is at most {HIGHEST_BID:g}")
    return bid


def _env(value: Any) -> list[list[str]]:
    """`"-e A=b -p 8000:8000"` or `{"A": "b", "-p 8000:8000": "1"}`, both in use, as pairs."""
    if value is None:
        return []
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return [[name, item] for name, item in value.items()]
    if not isinstance(value, str):
        raise BadRequest("invalid_args", "error 400/3467: Invalid args: 'env' must be a string or an object of strings")
    try:
        words = shlex.split(value)
    except ValueError:
        raise BadRequest("invalid_args", "error 400/3467: Invalid args: 'env' has an open quote") from None
    pairs = []
    for flag, word in zip(words[::2], words[1::2], strict=False):
        if flag == "-p":
            pairs.append([f"-p {word}", "1"])
        elif flag == "-e":
            name, _, text = word.partition("=")
            pairs.append([name, text])
        else:
            raise BadRequest("invalid_args", f"error 400/3467: Invalid args: 'env' knows -e and -p, not {flag}")
    return pairs


def _ports(env: Sequence[Sequence[str]]) -> list[int]:
    """Container ports of the `-p host:container[/udp]` flags, ssh always among them."""
    ports = [SSH_PORT]
    for name, _ in env:
        if name.startswith("-p "):
            inner = name.removeprefix("-p ").rpartition(":")[2].partition("/")[0]
            if not inner.isdecimal() or len(inner) > 5 or not 1 <= int(inner) <= 65535:
                raise BadRequest("invalid_args", f"error 400/3467: Invalid args: bad port '{name}'")
            ports.append(int(inner))
    return sorted(set(ports))[:MOST_PORTS]


def _args(body: dict[str, Any]) -> list[str]:
    if isinstance(body.get("args"), list):
        return [str(word) for word in body["args"]]
    text = _text(body, "args_str")
    return text.split() if text else []


def show(instance: Instance) -> dict[str, Any]:
    """The instance with the fields of Vast.ai: memory in GB, GPU memory in MB, utilisation in percent."""
    details = instance.details
    offer: dict[str, Any] = details["offer"]
    actual, wanted = _status(instance)
    return {
        **offer,
        "id": int(instance.id),
        "label": details["label"],
        "actual_status": actual,
        "intended_status": wanted,
        "cur_state": wanted,
        "next_state": wanted,
        "status_msg": _message(instance),
        "is_bid": details["is_bid"],
        "rentable": False,
        "rented": True,
        "start_date": instance.created_at,
        "client_run_time": round(time.time() - instance.created_at, 1),
        "host_run_time": 2_592_000.0,
        "credit_balance": None,
        "credit_discount": None,
        "country_code": None,
        "volume_info": [],
        **_image(details),
        **_access(instance),
        **_load(instance, offer),
    }


def _image(details: dict[str, Any]) -> dict[str, Any]:
    return {
        "image_uuid": details["image"],
        "image_args": details["args"],
        "image_runtype": details["runtype"],
        "extra_env": details["env"],
        "onstart": details["onstart"] or "",
        "template_id": None,
        "template_hash_id": details["template"],
        "template_name": None,
        "jupyter_token": details["token"],
    }


def _access(instance: Instance) -> dict[str, Any]:
    """How to reach it; ports are told while it runs only."""
    host, ports = instance.details["host"], instance.ports
    ssh_port = ports.get(SSH_PORT, 0)
    return {
        "ssh_host": host,
        "ssh_idx": "1",
        "ssh_port": ssh_port,
        "machine_dir_ssh_port": ssh_port,
        "public_ipaddr": host,
        "local_ipaddrs": host,
        "direct_port_start": min(ports.values(), default=-1),
        "direct_port_end": max(ports.values(), default=-1),
        "ports": _port_map(instance) if instance.state == "running" else None,
    }


def _status(instance: Instance) -> tuple[str | None, str]:
    """(actual_status, wanted status): null while the host allocates, then loading, then running."""
    if instance.state == "booting":
        return (None if instance.boot_share < 1 / 3 else "loading", "running")
    return STATUS[instance.state]


def _message(instance: Instance) -> str | None:
    image = instance.details["image"]
    return {
        "booting": None if instance.boot_share < 1 / 3 else f"Pulling from {image}",
        "running": f"success, running {image}/{instance.details['runtype']}",
        "stopped": "Instance is stopped",
        "preempted": "Instance was outbid",
        "exited": f"container exited, {image}",
        "failed": "Host is offline",
    }[instance.state]


def _port_map(instance: Instance) -> dict[str, list[dict[str, str]]]:
    host = instance.details["host"]
    return {f"{inner}/tcp": [{"HostIp": host, "HostPort": str(outer)}] for inner, outer in instance.ports.items()}


def _load(instance: Instance, offer: dict[str, Any]) -> dict[str, Any]:
    disk_gb: float = instance.details["disk_gb"]
    fixed = {"gpu_totalram": offer["gpu_total_ram"], "disk_space": disk_gb, "disk_util": -1.0}
    if instance.state != "running":
        unknown = ("gpu_util", "gpu_temp", "mem_usage", "mem_limit", "vmem_usage", "uptime_mins")
        return {**fixed, **dict.fromkeys(unknown), "cpu_util": 0.0, "disk_usage": 0.0}
    memory_gb = offer["cpu_ram"] / 1024
    return {
        **fixed,
        "uptime_mins": round(instance.uptime_s / 60, 2),
        "gpu_util": round(instance.gauge("gpu", 62, 99), 1),
        "gpu_temp": round(instance.gauge("temperature", 48, 76), 1),
        "cpu_util": round(instance.gauge("cpu", 8, 55), 1),
        "mem_limit": memory_gb,
        "mem_usage": round(memory_gb * instance.gauge("memory", 0.05, 0.3), 3),
        "vmem_usage": round(offer["gpu_total_ram"] / 1024 * instance.gauge("vram", 0.4, 0.9), 3),
        "disk_usage": round(min(disk_gb, 0.4 + instance.uptime_s / 3600), 3),
    }
