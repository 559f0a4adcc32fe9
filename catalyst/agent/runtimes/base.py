"""What a runtime is asked and what it answers."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Protocol

from catalyst.agent.folders import PodFolder
from catalyst.agent.protocol import Spec

NICE = 5


class CannotRun(Exception):
    """The pod cannot run here in this way; the message goes to its log."""


@dataclasses.dataclass(frozen=True)
class Order:
    """One launch of a pod."""

    pod: str
    epoch: int
    run: int
    spec: Spec
    folder: PodFolder
    ports: dict[int, int]  # of the pod → free loopback port of this machine
    resume: str  # name of the checkpoint folder, or empty
    gpus: int  # cards of this machine


@dataclasses.dataclass(frozen=True)
class Launch:
    """What the keeper starts; read by catalyst.agent.keeper from JSON."""

    run: int
    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int | None = None
    gid: int | None = None
    nice: int = NICE
    rlimits: dict[str, int] = dataclasses.field(default_factory=dict)
    wrappers: int = 0  # levels of processes that belong to the runtime, not to the pod
    kill_argv: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "notes"}


class Runtime(Protocol):
    name: str

    def prepare(self, order: Order) -> Launch:
        """Make everything ready and say what to start. Raises CannotRun."""
        ...

    def clear(self, pod: str, leader: int | None) -> None:
        """End what a killed keeper has left of the pod; `leader` is the process it had started last."""
        ...

    def roots(self, pod: str, keeper: int) -> list[int]:
        """The processes below which all processes of the pod are found."""
        ...


def contract(order: Order, checkpoints: Path | str) -> dict[str, str]:
    """The environment that every pod process can rely on, in every runtime."""
    return {
        "CATALYST_CHECKPOINT_DIR": str(checkpoints),
        "CATALYST_RESUME_FROM": f"{checkpoints}/{order.resume}" if order.resume else "",
        "CATALYST_POD_ID": order.pod,
        "CATALYST_EPOCH": str(order.epoch),
        "CATALYST_GRACE_S": f"{order.spec['grace_s']:g}",
    }


def defaults(order: Order) -> dict[str, str]:
    """What the customer's own environment may replace."""
    values = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    vcpus = order.spec["limits"].get("vcpus")
    if vcpus:
        values["OMP_NUM_THREADS"] = str(max(1, math.ceil(vcpus)))
    return values


def port_names(ports: dict[int, int]) -> dict[str, str]:
    """PORT_<port of the spec> for each, PORT for the first: where the process listens."""
    names = {f"PORT_{port}": str(actual) for port, actual in ports.items()}
    return names | ({"PORT": str(next(iter(ports.values())))} if ports else {})


def load_json(text: str) -> Any:
    """Answers of a command line program; nonsense is None."""
    try:
        return json.loads(text)
    except ValueError:
        return None
