"""Commands as they come over the wire: checked before anything is done. The agent trusts no sender to be well-formed."""

from __future__ import annotations

import math
from typing import Any, cast

from catalyst.agent.folders import POD_ID
from catalyst.agent.protocol import Limits, Spec, StopMode

POLICIES = ("never", "on-failure", "always")
RUNTIMES = ("process", "docker", "auto")
DEFAULT_GRACE_S = 10.0
MAX_PORTS = 32


class BadCommand(Exception):
    """The message says what is wrong."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise BadCommand(message)


def read_target(message: dict[str, Any]) -> tuple[str, int]:
    """Pod and epoch of a command. The pod's id becomes a folder's name."""
    pod, epoch = message.get("pod"), message.get("epoch")
    require(isinstance(pod, str) and POD_ID.fullmatch(pod) is not None, "pod must be an id")
    require(isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 0, "epoch must be a number")
    return cast(str, pod), cast(int, epoch)


def read_grace(value: object) -> float:
    require(_is_number(value) and 0 <= cast(float, value) <= 3600, "grace_s must be 0 to 3600 seconds")
    return float(cast(float, value))


def read_mode(value: object) -> StopMode:
    require(value in ("stop", "terminate", "stale"), "mode must be stop, terminate or stale")
    return cast(StopMode, value)


def read_spec(raw: object) -> Spec:
    if not isinstance(raw, dict):
        raise BadCommand("spec must be an object")
    command, image = raw.get("command") or [], raw.get("image") or ""
    require(_are_words(command), "command must be a list of strings")
    require(isinstance(image, str) and not image.startswith("-"), "image must be a name")
    require(bool(command or image), "a command or an image is needed")
    policy, runtime = raw.get("restart_policy", "on-failure"), raw.get("runtime", "auto")
    require(policy in POLICIES, "restart_policy must be never, on-failure or always")
    require(runtime in RUNTIMES, "runtime must be process, docker or auto")
    require(bool(command) or runtime != "process", "the process runtime needs a command")
    return {
        "name": str(raw.get("name", "")),
        "image": image,
        "command": list(command),
        "env": _read_env(raw.get("env") or {}),
        "ports": _read_ports(raw.get("ports") or []),
        "limits": _read_limits(raw.get("limits") or {}),
        "restart_policy": policy,
        "grace_s": read_grace(raw.get("grace_s", DEFAULT_GRACE_S)),
        "resume": bool(raw.get("resume", True)),
        "runtime": runtime,
    }


def _read_env(raw: object) -> dict[str, str]:
    require(isinstance(raw, dict) and _are_words([*raw.keys(), *raw.values()]), "env must map names to strings")
    env = cast(dict[str, str], raw)
    require(all(key and "=" not in key and "\n" not in key for key in env), "a name in env is not allowed")
    return dict(env)


def _read_ports(raw: object) -> list[int]:
    require(isinstance(raw, list) and len(raw) <= MAX_PORTS, f"ports must be a list of at most {MAX_PORTS}")
    ports = cast(list[int], raw)
    require(all(type(port) is int and 0 < port < 65536 for port in ports), "a port must be 1 to 65535")
    return list(dict.fromkeys(ports))


def _read_limits(raw: object) -> Limits:
    if not isinstance(raw, dict):
        raise BadCommand("limits must be an object")
    limits: dict[str, Any] = {}
    for key in ("vcpus", "ram_bytes", "disk_bytes", "processes"):
        if raw.get(key) is not None:
            require(_is_number(raw[key]) and raw[key] > 0, f"limit {key} must be above 0")
            limits[key] = float(raw[key]) if key == "vcpus" else int(raw[key])
    if raw.get("gpus") is not None:
        gpus = raw["gpus"]
        require(isinstance(gpus, list) and all(type(i) is int and i >= 0 for i in gpus), "limit gpus must list indexes")
        limits["gpus"] = list(gpus)
    return cast(Limits, limits)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_words(values: object) -> bool:
    """Strings that a program can be given."""
    return isinstance(values, list) and all(isinstance(value, str) and "\x00" not in value for value in values)
