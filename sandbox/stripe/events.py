"""Events: what has happened, kept for those who missed a notification."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe.forms import Fields, many, text
from sandbox.stripe.lists import BY_TIME, page
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call


def retrieve(call: Call) -> Document:
    return call.world.find("event", call.id)


def show_all(call: Call) -> Document:
    names = set(call.given.get("types") or []) | {name for name in [call.given.get("type")] if name}
    found = [event for event in call.world.of("event") if _wanted(event["type"], names)]
    return page(call, found, "/v1/events", "event")


def _wanted(type: str, names: set[str]) -> bool:
    """`charge.*` stands for all that begin with `charge.`"""
    return not names or any(type == name or (name[-2:] == ".*" and type.startswith(name[:-1])) for name in names)


ENDPOINTS = (
    Endpoint("GET", "/v1/events", show_all, Fields({**BY_TIME, "type": text, "types": many(text)})),
    Endpoint("GET", "/v1/events/{id}", retrieve),
)
