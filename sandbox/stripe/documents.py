"""Objects as they stand in the state and as they go out: names that begin with `_` are the peer's own."""

from __future__ import annotations

import secrets
import string
from typing import Any

from sandbox.store import Document

LETTERS = string.ascii_letters + string.digits
ADDRESS: Document = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(secrets.choice(LETTERS) for _ in range(length))}"


def shown(document: Document) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}


def dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


def listed(data: list[Document], url: str) -> Document:
    """A whole list inside another object."""
    return {"object": "list", "data": data, "has_more": False, "url": url}


def merge_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """An empty value removes a key, an empty map all of them; None leaves all as they are."""
    if given is None:
        return old
    if not given:
        return {}
    return {name: value for name, value in {**old, **given}.items() if value}


def changed(document: Document, given: Document, names: str) -> Document:
    """`document` with those of the named fields that `given` has; metadata is merged."""
    new = {**document, **{name: given[name] for name in names.split() if name in given}}
    if "metadata" in given:
        new["metadata"] = merge_metadata(document["metadata"], given["metadata"])
    return new


def differences(old: Document, new: Document) -> dict[str, Any]:
    """What `previous_attributes` of an event says: the old values of the fields that changed."""
    return {name: value for name, value in shown(old).items() if new.get(name) != value}
