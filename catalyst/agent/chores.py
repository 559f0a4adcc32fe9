"""The running tasks of one pod, by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Chores:
    """At most one task of each name: a new one ends the one before."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if name in self._tasks:
            self._tasks[name].cancel()
        task = self._tasks[name] = asyncio.create_task(work, name=f"{name} of {self.owner}")
        task.add_done_callback(_complain)
        return task

    def get(self, name: str) -> asyncio.Task[None] | None:
        return self._tasks.get(name)

    async def end(self, *names: str) -> None:
        """Cancel these (all when none is named) and wait until they are over; never the task that calls."""
        for name in names or tuple(self._tasks):
            await cancel(self._tasks.get(name))


async def cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done() and task is not asyncio.current_task():
        task.cancel()
        await asyncio.wait([task])


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("%s failed", task.get_name(), exc_info=task.exception())
