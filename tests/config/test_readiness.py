"""/readiness names a queue whose pulse stopped: its worker is gone, or beat is."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from config import pulse
from config.celery import app
from config.tasks import note_pulse

pytestmark = pytest.mark.django_db


def part(client: Client, name: str) -> str:
    parts: dict[str, Any] = client.get("/readiness").json()["parts"]
    return str(parts[name])


def test_every_queue_must_have_a_pulse(client: Client) -> None:
    assert part(client, "workers") == "silent: control, work"
    note_pulse("work")
    assert part(client, "workers") == "silent: control"
    note_pulse("control")
    assert part(client, "workers") == "ok"


def test_a_pulse_does_not_last(client: Client) -> None:
    for queue in pulse.QUEUES:
        note_pulse(queue)
    assert all(0 < cache.ttl(f"pulse:{queue}") <= pulse.LASTS_S for queue in pulse.QUEUES)  # type: ignore[attr-defined]


def test_beat_sends_one_through_each_queue() -> None:
    used = {route["queue"] for route in app.conf.task_routes.values()}
    sent = {
        (entry["args"][0], entry["options"]["queue"])
        for entry in app.conf.beat_schedule.values()
        if entry["task"] == note_pulse.name
    }
    assert sent == {(queue, queue) for queue in used}
