"""Instances of a peer: they boot, run, stop and end, they cost money, and they survive a restart of the peer.

State: booting → running → stopped | exited | failed | preempted → booting …, and from any of them terminated.
`running` is written only after the instance's ports listen.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from sandbox.bills import Cost, hours_by_day
from sandbox.listeners import SSH_PORT, Listeners
from sandbox.store import Store

State = Literal["booting", "running", "stopped", "exited", "failed", "preempted", "terminated"]
KIND = "instance"


@dataclass(frozen=True, slots=True)
class Instance:
    """Times are unix seconds, prices USD per hour; `days` is the bill by day in UTC, and `details` what the provider's
    own protocol adds."""

    id: str
    state: State
    created_at: float
    ready_at: float
    settled_at: float
    price_hour: Decimal
    disk_hour: Decimal
    gpu_cost: Decimal = Decimal(0)
    disk_cost: Decimal = Decimal(0)
    running_at: float | None = None
    ended_at: float | None = None
    wanted_ports: list[int] = field(default_factory=lambda: [SSH_PORT])
    ports: dict[int, int] = field(default_factory=dict)
    days: dict[str, Cost] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def uptime_s(self) -> float:
        return max(0.0, time.time() - self.running_at) if self.state == "running" and self.running_at else 0.0

    @property
    def boot_share(self) -> float:
        """How far the boot has come, 0 … 1."""
        whole = self.ready_at - self.settled_at
        return 1.0 if whole <= 0 else min(1.0, max(0.0, (time.time() - self.settled_at) / whole))

    def gauge(self, name: str, low: float, high: float) -> float:
        """A load figure of a running instance between two bounds, that moves from second to second."""
        offset = sum(f"{self.id}{name}".encode())
        swing = 0.7 * math.sin(self.uptime_s / 7 + offset) + 0.3 * math.sin(self.uptime_s / 1.9 + offset)
        return low + (high - low) * (0.5 + swing / 2)


def settle(instance: Instance, now: float) -> Instance:
    """Bill up to `now`: GPUs while running, disk until terminated."""
    if instance.state == "terminated":
        return instance
    for day, hours in hours_by_day(instance.settled_at, now):
        gpu = instance.price_hour * hours if instance.state == "running" else Decimal(0)
        instance = charge(instance, day, Cost(gpu, instance.disk_hour * hours))
    return replace(instance, settled_at=now)


def charge(instance: Instance, day: str, cost: Cost) -> Instance:
    """With this much more on the bill of a day."""
    days = {**instance.days, day: instance.days.get(day, Cost()) + cost}
    return replace(instance, days=days, gpu_cost=instance.gpu_cost + cost.gpu, disk_cost=instance.disk_cost + cost.disk)


def to_document(instance: Instance) -> dict[str, Any]:
    flat = {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(instance).items()}
    return {**flat, "days": {day: [str(cost.gpu), str(cost.disk)] for day, cost in instance.days.items()}}


def from_document(body: dict[str, Any]) -> Instance:
    money = {name: Decimal(body[name]) for name in ("price_hour", "disk_hour", "gpu_cost", "disk_cost")}
    ports = {int(inner): outer for inner, outer in body["ports"].items()}
    # Files of an earlier version know no days.
    days = {day: Cost(Decimal(gpu), Decimal(disk)) for day, (gpu, disk) in body.get("days", {}).items()}
    return Instance(**{**body, **money, "ports": ports, "days": days})


class Fleet:
    def __init__(self, store: Store, *, host: str, boot_s: float) -> None:
        self._store = store
        self._boot_s = boot_s
        self._listeners = Listeners(host)
        self._boots: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Take up where the last process ended: what ran listens again, what booted goes on booting."""
        for instance in self.living():
            if instance.state == "running":
                ports = await self._listeners.open(instance.id, instance.wanted_ports, instance.ports)
                self._put(replace(instance, ports=ports))
            elif instance.state == "booting":
                self._schedule(instance)

    def close(self) -> None:
        for task in self._boots.values():
            task.cancel()
        self._listeners.close_all()

    def create(
        self,
        id: str,
        *,
        price_hour: Decimal,
        disk_hour: Decimal,
        ports: list[int],
        details: dict[str, Any],
        state: Literal["booting", "stopped"] = "booting",
    ) -> Instance:
        now = time.time()
        instance = Instance(
            id, state, now, now + self._boot_s, now, price_hour, disk_hour, wanted_ports=ports, details=details
        )
        self._put(instance)
        if state == "booting":
            self._schedule(instance)
        return instance

    def get(self, id: str) -> Instance | None:
        """The instance, also after its end; None when there never was one."""
        body = self._store.get(KIND, id)
        return from_document(body) if body else None

    def all(self) -> list[Instance]:
        return [from_document(body) for body in self._store.all(KIND)]

    def living(self) -> list[Instance]:
        return [instance for instance in self.all() if instance.state != "terminated"]

    def describe(self, instance: Instance, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Instance:
        """Change what only the provider's protocol knows, such as a label."""
        changed = replace(instance, details=change(instance.details))
        self._put(changed)
        return changed

    def start(self, instance: Instance) -> Instance:
        """Boot again, as after a stop or a restart."""
        self._leave(instance.id)
        now = time.time()
        started = replace(settle(instance, now), state="booting", ready_at=now + self._boot_s, running_at=None)
        self._put(started)
        self._schedule(started)
        return started

    def end(self, instance: Instance, state: State) -> Instance:
        """Leave the running state, for whatever reason `state` names."""
        self._leave(instance.id)
        now = time.time()
        ended = replace(settle(instance, now), state=state, running_at=None, ended_at=now)
        self._put(ended)
        return ended

    def charge(self, instance: Instance, day: str, cost: Cost) -> Instance:
        """Put a sum on the bill, as a provider may do for what only it knows."""
        charged = charge(instance, day, cost)
        self._put(charged)
        return charged

    def settled(self, instance: Instance) -> Instance:
        """The same with its cost up to now, for a bill."""
        return settle(instance, time.time())

    def _leave(self, id: str) -> None:
        task = self._boots.pop(id, None)
        if task is not None:
            task.cancel()
        self._listeners.close(id)

    def _put(self, instance: Instance) -> None:
        self._store.put(KIND, instance.id, to_document(instance))

    def _schedule(self, instance: Instance) -> None:
        self._boots[instance.id] = asyncio.create_task(self._boot(instance.id, instance.ready_at))

    async def _boot(self, id: str, ready_at: float) -> None:
        await asyncio.sleep(max(0.0, ready_at - time.time()))
        instance = self.get(id)
        if instance is None:
            return
        ports = await self._listeners.open(id, instance.wanted_ports, instance.ports)
        now = time.time()
        self._put(replace(settle(instance, now), state="running", running_at=now, ports=ports))
        self._boots.pop(id, None)
