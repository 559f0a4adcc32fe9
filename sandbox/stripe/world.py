"""What all endpoints share: the objects by kind and id, the time of each customer, the events that tell of changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stripe import api_version as API_VERSION

from sandbox.deliveries import Deliveries
from sandbox.store import Document, Store
from sandbox.stripe.documents import differences, new_id, shown
from sandbox.stripe.errors import missing

ACCOUNT = "acct_1SandboxPlatform"
CLOCK = "test_helpers.test_clock"


@dataclass(slots=True)
class Cause:
    """The request that an event names as its cause; an event of a clock has none."""

    id: str | None = None
    idempotency_key: str | None = None


@dataclass
class World:
    store: Store
    webhooks: Deliveries
    url: str
    cause: Cause = field(default_factory=Cause)

    # Objects

    def put(self, document: Document) -> Document:
        """Keep a new object, or the new state of one."""
        self.store.put(document["object"], document["id"], document)
        return document

    def get(self, kind: str, id: str | None) -> Document | None:
        return self.store.get(kind, id) if id else None

    def find(self, kind: str, id: str, *, param: str = "id") -> Document:
        """Raises Problem: 404, or 400 when a parameter named the object."""
        found = self.store.get(kind, id)
        if found is None:
            raise missing(kind, id, param=param)
        return found

    def of(self, kind: str, **wanted: Any) -> list[Document]:
        """All of a kind with these values, oldest first."""
        return [each for each in self.store.all(kind) if all(each.get(name) == value for name, value in wanted.items())]

    def all_of(self, kind: str, account: str) -> list[Document]:
        """All of a kind that belong to the platform (no account) or to a connected account, oldest first."""
        return [each for each in self.store.all(kind) if each.get("_account", "") == account]

    def delete(self, document: Document) -> Document:
        self.store.delete(document["object"], document["id"])
        return {"id": document["id"], "object": document["object"], "deleted": True}

    # Time

    def now(self, clock: str | None = None) -> int:
        """The time of a test clock, or of the wall."""
        frozen = self.get(CLOCK, clock)
        return int(frozen["frozen_time"]) if frozen else int(time.time())

    def clock_of(self, customer: str | None) -> str | None:
        found = self.get("customer", customer)
        return found["test_clock"] if found else None

    def time_of(self, customer: str | None) -> int:
        return self.now(self.clock_of(customer))

    # Events

    def publish(self, type: str, document: Document, *, old: Document | None = None, account: str = "") -> None:
        """Keep an event with the object as it is now, and send it to the webhook."""
        customer = document.get("customer") or document.get("_customer")
        data: Document = {"object": shown(document)}
        if old is not None:
            data["previous_attributes"] = differences(old, document)
        event: Document = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(document.get("test_clock")) if "test_clock" in document else self.time_of(customer),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1 if self.webhooks.target else 0,
            "request": {"id": self.cause.id, "idempotency_key": self.cause.idempotency_key},
            "type": type,
            **({"account": account} if account else {}),
        }
        self.put(event)
        self.webhooks.enqueue(event["id"])

    def change(self, document: Document, type: str, /, **fields: Any) -> Document:
        """Keep the object with these fields and tell of it; without any difference nothing happens."""
        new = {**document, **fields}
        if new == document:
            return document
        self.put(new)
        self.publish(type, new, old=document)
        return new


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read."""

    world: World
    given: dict[str, Any]
    path: dict[str, str]
    public: bool = False  # made with the publishable key
    account: str = ""  # Stripe-Account: the connected account on whose behalf

    @property
    def id(self) -> str:
        return self.path["id"]


Act = Callable[[Call], Document]
