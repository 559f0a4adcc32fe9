"""What an instance writes to its log: made up, but the same lines each time they are asked for."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sandbox.fleet import Instance

Source = Literal["container", "system"]
LONGEST = 5000


FIRST_STEP = 10  # numbers below are for the system's lines of the same second
LAST = 999_999_999


@dataclass(frozen=True, slots=True)
class Line:
    at: float
    number: int
    source: Source
    text: str

    @property
    def key(self) -> tuple[int, int]:
        """The order of lines, as far as a stamp of whole seconds and a number can tell it."""
        return (int(self.at), self.number)

    @property
    def stamp(self) -> str:
        return rfc3339(self.at)


def rfc3339(at: float) -> str:
    """`2026-06-01T12:02:03Z`, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lines(instance: Instance, source: Source | None = None, *, until: float | None = None) -> list[Line]:
    """All lines up to `until` (now), oldest first, at most LONGEST of each source."""
    until = time.time() if until is None else until
    written: list[Line] = []
    if source in (None, "system"):
        written += _system(instance)
    if source in (None, "container"):
        written += _container(instance, until)
    return sorted((line for line in written if line.at <= until), key=lambda line: line.key)


def _system(instance: Instance) -> list[Line]:
    image = instance.details.get("image", "")
    boot_s = max(0.0, instance.ready_at - instance.created_at)
    told = [
        (instance.created_at, 0, f"create container {image}"),
        (instance.created_at + boot_s / 3, 1, f"pulling {image}"),
    ]
    if instance.running_at is not None:
        told.append((instance.running_at, 2, "start container"))
    if instance.ended_at is not None and instance.state != "running":
        told.append((instance.ended_at, LAST, f"container {instance.state}"))
    return [Line(at, number, "system", text) for at, number, text in told]


def _container(instance: Instance, until: float) -> list[Line]:
    """One step of training a second for as long as the container runs."""
    if instance.running_at is None:
        return []
    steps = int(until - instance.running_at) + 1
    return [
        Line(instance.running_at + step, FIRST_STEP + step, "container", _step(step))
        for step in range(max(0, steps - LONGEST), steps)
    ]


def _step(step: int) -> str:
    if step == 0:
        return "sandbox workload: no real GPU works here"
    return f"step {step} loss {0.8 + 2.4 * math.exp(-step / 240):.4f}"
