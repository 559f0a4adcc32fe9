"""Notifications: kept, signed, sent, sent again until the receiver answers 2xx; doubled or out of order on demand."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import secrets
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from sandbox.paypal.orders import link, new_id
from sandbox.paypal.signing import ALGORITHM, CERT_PATH, Signer
from sandbox.store import Document, Store
from sandbox.workload import rfc3339

TIMEOUT_S = 10.0
MOST_ATTEMPTS = 25
LONGEST_WAIT_S = 60.0
# With `disorder` the notifications of this long are collected, then sent newest first.
COLLECT_S = 1.0
IDLE_S = 60.0
USUAL_KNOBS: Document = {"copies": 1, "disorder": False, "paused": False}
SUMMARIES = {
    "CHECKOUT.ORDER.APPROVED": ("checkout-order", "An order has been approved by buyer"),
    "PAYMENT.CAPTURE.COMPLETED": ("capture", "Payment completed"),
    "PAYMENT.CAPTURE.REFUNDED": ("refund", "A payment capture was refunded"),
    "PAYMENT.CAPTURE.REVERSED": ("refund", "A payment capture was reversed"),
}


class Webhooks:
    def __init__(self, store: Store, signer: Signer, *, url: str, target: str) -> None:
        self._store = store
        self._signer = signer
        self._url = url
        self._target = target
        self._news = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    def open(self) -> None:
        if self._target:
            self._sender = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender

    def publish(self, event_type: str, resource: Document) -> None:
        """Keep an event and its deliveries; call it in the same `together` block as the change it tells of."""
        kind, summary = SUMMARIES[event_type]
        id = f"WH-{new_id()}-{new_id()}"
        event = {
            "id": id,
            "create_time": rfc3339(time.time()),
            "event_type": event_type,
            "event_version": "1.0",
            "resource_type": kind,
            "resource_version": "2.0",
            "summary": summary,
            "resource": resource,
            "links": [link(self._url, f"/v1/notifications/webhooks-events/{id}", "self")],
        }
        self._store.put("event", id, event)
        self._enqueue(id)

    def resend(self, id: str) -> None:
        self._enqueue(id)

    def _enqueue(self, event_id: str) -> None:
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

    def deliveries(self) -> list[Document]:
        return self._store.all("delivery")

    async def _run(self) -> None:
        while True:
            self._news.clear()
            for delivery in self._due():
                await self._send(delivery)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._wait_s())

    def _waiting(self) -> list[Document]:
        return [delivery for delivery in self.deliveries() if delivery["state"] == "waiting"]

    def _due(self) -> list[Document]:
        knobs, now = self.knobs, time.time()
        if knobs["paused"]:
            return []
        waiting = self._waiting()
        if not knobs["disorder"]:
            return [delivery for delivery in waiting if delivery["due"] <= now]
        oldest = min((delivery["made"] for delivery in waiting), default=now)
        return [delivery for delivery in reversed(waiting) if delivery["due"] <= now and oldest + COLLECT_S <= now]

    def _wait_s(self) -> float:
        knobs = self.knobs
        waiting = [] if knobs["paused"] else self._waiting()
        extra = COLLECT_S if knobs["disorder"] else 0.0
        dues = [max(delivery["due"], delivery["made"] + extra) for delivery in waiting]
        return min(IDLE_S, max(0.01, min(dues, default=time.time() + IDLE_S) - time.time()))

    async def _send(self, delivery: Document) -> None:
        event = self._store.get("event", delivery["event"])
        raw = json.dumps(event, separators=(",", ":")).encode()
        status = await asyncio.to_thread(_post, self._target, raw, self._headers(delivery["id"], raw))
        attempts = delivery["attempts"] + 1
        # A reset may have emptied the state while the receiver was thinking.
        if self._store.get("delivery", delivery["id"]) is None:
            return
        if status is not None and 200 <= status < 300:
            state, due = "delivered", delivery["due"]
        else:
            state = "waiting" if attempts < MOST_ATTEMPTS else "failed"
            due = time.time() + min(LONGEST_WAIT_S, 2.0 ** (attempts - 1))
        changed = {**delivery, "attempts": attempts, "status": status, "state": state, "due": due}
        self._store.put("delivery", delivery["id"], changed)

    def _headers(self, transmission_id: str, raw: bytes) -> dict[str, str]:
        at = rfc3339(time.time())
        return {
            "Content-Type": "application/json",
            "User-Agent": "PayPal/AUHD-sandbox",
            "PAYPAL-TRANSMISSION-ID": transmission_id,
            "PAYPAL-TRANSMISSION-TIME": at,
            "PAYPAL-TRANSMISSION-SIG": self._signer.sign(transmission_id, at, raw),
            "PAYPAL-AUTH-ALGO": ALGORITHM,
            "PAYPAL-CERT-URL": f"{self._url}{CERT_PATH}",
            "PAYPAL-AUTH-VERSION": "v2",
            "CORRELATION-ID": secrets.token_hex(7)[:13],
        }


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
