"""Driving pods by hand: what the workers do in seconds, in as many looks as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from django.db.models import F

from accounts import actor
from lib import leases
from pods import deploy as deployment
from pods import reconcile
from pods.models import Placement, Pod, PodConfig
from tests.patience import PATIENCE_S

PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Bench:
    """A peer and its knobs."""

    slug: str
    url: str

    def fault(self, mode: str, path: str = "", **knob: Any) -> None:
        answer = requests.post(f"{self.url}/sandbox/faults", json={"mode": mode, "path": path, **knob}, timeout=5)
        assert answer.ok, answer.text

    def befall(self, ref: str, event: str) -> None:
        assert requests.post(f"{self.url}/sandbox/instances/{ref}/{event}", timeout=5).ok

    def instances(self) -> list[dict[str, Any]]:
        """All that ever were."""
        found: list[dict[str, Any]] = requests.get(f"{self.url}/sandbox/instances", timeout=5).json()["instances"]
        return found

    def living(self) -> list[dict[str, Any]]:
        return [instance for instance in self.instances() if instance["state"] != "terminated"]


def deploy(config: PodConfig, offer: Any = None, key: str = "once", **options: Any) -> Pod:
    person = actor.user(config.organisation.members.earliest("date_joined"))
    return deployment.deploy(
        organisation=config.organisation, config=config, offer=offer, actor=person, idempotency_key=key, **options
    )


def look(pod: Pod) -> Pod:
    """One look of a worker, now."""
    leases.hint(Pod, pod.pk)
    reconcile.reconcile(pod.pk)
    pod.refresh_from_db()
    return pod


def drive(pod: Pod, until: str | Callable[[Pod], bool]) -> Pod:
    """Look again and again, as the workers do, until the pod has this status; the peers live in real time."""
    done = until if callable(until) else lambda row: row.status == until
    deadline = time.monotonic() + PATIENCE_S
    while not done(look(pod)):
        assert time.monotonic() < deadline, story(pod)
        time.sleep(PAUSE_S)
    return pod


def story(pod: Pod) -> str:
    """What happened, for the message of a test that failed."""
    lines = [f"{pod.status} {pod.reason} {pod.message} | {pod.last_error}"]
    lines += [
        f"{event.kind} {event.old_status}→{event.new_status} {event.message}" for event in pod.events.order_by("id")
    ]
    lines += [f"{p.epoch}.{p.attempt} {p.provider_id} {p.status} {p.phase} {p.error}" for p in pod.placements.all()]
    return "\n".join(lines)


def placement_of(pod: Pod) -> Placement:
    return pod.placements.select_related("provider", "offer").latest("epoch", "attempt")


def age(pod: Pod, seconds: float, *columns: str) -> None:
    """Move moments of the present placement into the past, as if so much time had gone by."""
    from datetime import timedelta

    row = placement_of(pod)
    Placement.objects.filter(pk=row.pk).update(**{name: F(name) - timedelta(seconds=seconds) for name in columns})
