"""Whether the parts without an address live: beat sends a pulse through each queue, and its worker notes it.

A pulse that is missing means that beat or that queue's worker is gone, or that the worker has been busy for too long.
"""

from __future__ import annotations

from typing import Final

from django.core.cache import cache

QUEUES: Final = ("control", "work")
EVERY_S: Final = 2.0
LASTS_S: Final = 20  # a busy worker misses a few


def note_pulse(queue: str) -> None:
    cache.set(_key(queue), True, LASTS_S)


def silent_queues() -> list[str]:
    found = cache.get_many([_key(queue) for queue in QUEUES])
    return [queue for queue in QUEUES if _key(queue) not in found]


def _key(queue: str) -> str:
    return f"pulse:{queue}"
