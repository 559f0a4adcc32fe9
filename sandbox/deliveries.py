"""Notifications on their way: kept, signed, sent again until answered with 2xx; doubled or out of order on demand."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sandbox.store import Document, Store

TIMEOUT_S = 10.0
MOST_ATTEMPTS = 25
LONGEST_WAIT_S = 60.0
# With `disorder` the notifications of this long are collected, then sent newest first.
COLLECT_S = 1.0
IDLE_S = 60.0
USUAL_KNOBS: Document = {"copies": 1, "disorder": False, "paused": False}
MOST_SHOWN = 1000
# From a delivery's id and its event to the bytes that are sent and their headers, made anew for each try.
Sign = Callable[[str, Document], tuple[bytes, dict[str, str]]]


class Deliveries:
    """Those that wait stand under `delivery`, those that are done under `delivered`."""

    def __init__(self, store: Store, *, target: str, sign: Sign) -> None:
        self._store = store
        self._sign = sign
        self.target = target
        self._news = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    def open(self) -> None:
        if self.target:
            self._sender = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender

    def enqueue(self, event_id: str) -> None:
        """Call it in the same `together` block as the change that the event tells of."""
        if not self.target:
            return
        for _ in range(self.knobs["copies"]):
            id = str(uuid.uuid4())
            now = time.time()
            delivery = {"id": id, "event": event_id, "made": now, "due": now, "attempts": 0, "state": "waiting"}
            self._store.put("delivery", id, {**delivery, "status": None})
        self._news.set()

    @property
    def knobs(self) -> Document:
        return {**USUAL_KNOBS, **self._store.value("webhook_knobs", {})}

    def set_knobs(self, wanted: dict[str, Any]) -> str | None:
        """Change some of `copies` (0 to 5), `disorder`, `paused`. Returns what is wrong, if anything."""
        if set(wanted) - set(USUAL_KNOBS):
            return f"known are {', '.join(USUAL_KNOBS)}"
        copies = wanted.get("copies", 1)
        if isinstance(copies, bool) or not isinstance(copies, int) or not 0 <= copies <= 5:
            return "copies is a whole number from 0 to 5"
        if not all(isinstance(wanted.get(name, False), bool) for name in ("disorder", "paused")):
            return "disorder and paused are true or false"
        self._store.set_value("webhook_knobs", {**self.knobs, **wanted})
        self._news.set()
        return None

    def all(self) -> list[Document]:
        """The newest of those that are done, then all that wait."""
        return [*self._store.all("delivered")[-MOST_SHOWN:], *self._store.all("delivery")]

    async def _run(self) -> None:
        while True:
            self._news.clear()
            for delivery in self._due():
                await self._send(delivery)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._wait_s())

    def _due(self) -> list[Document]:
        knobs, now = self.knobs, time.time()
        if knobs["paused"]:
            return []
        due = [delivery for delivery in self._store.all("delivery") if delivery["due"] <= now]
        if not knobs["disorder"]:
            return due
        young = any(now - delivery["made"] < COLLECT_S for delivery in due)
        return [] if young else due[::-1]

    def _wait_s(self) -> float:
        knobs = self.knobs
        waiting = [] if knobs["paused"] else self._store.all("delivery")
        extra = COLLECT_S if knobs["disorder"] else 0.0
        dues = [max(delivery["due"], delivery["made"] + extra) for delivery in waiting]
        return min(IDLE_S, max(0.01, min(dues, default=time.time() + IDLE_S) - time.time()))

    async def _send(self, delivery: Document) -> None:
        event = self._store.get("event", delivery["event"]) or {}
        raw, headers = self._sign(delivery["id"], event)
        status = await asyncio.to_thread(_post, self.target, raw, headers)
        attempts = delivery["attempts"] + 1
        # A reset may have emptied the state while the receiver was thinking.
        if self._store.get("delivery", delivery["id"]) is None:
            return
        done = status is not None and 200 <= status < 300
        again = not done and attempts < MOST_ATTEMPTS
        due = time.time() + min(LONGEST_WAIT_S, 2.0 ** (attempts - 1)) if again else delivery["due"]
        state = "delivered" if done else "waiting" if again else "failed"
        tried = {**delivery, "attempts": attempts, "status": status, "state": state, "due": due}
        with self._store.together():
            if again:
                self._store.put("delivery", delivery["id"], tried)
                return
            self._store.delete("delivery", delivery["id"])
            self._store.put("delivered", delivery["id"], tried)


def _post(target: str, raw: bytes, headers: dict[str, str]) -> int | None:
    """The status that the receiver answers; None when there is no answer."""
    parts = urlsplit(target)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        connection.request("POST", path, raw, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
