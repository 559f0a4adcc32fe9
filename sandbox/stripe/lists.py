"""Lists: newest first, in pages, by filters on fields."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe.documents import shown
from sandbox.stripe.errors import Problem, missing
from sandbox.stripe.forms import Fields, Kind, created, integer, text
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call

MOST, USUAL = 100, 10
PAGING: dict[str, Kind] = {"limit": integer, "starting_after": text, "ending_before": text}
BY_TIME: dict[str, Kind] = {**PAGING, "created": created}


def lister(path: str, kind: str, *, by_time: bool = True, **filters: Kind) -> Endpoint:
    """`GET path`: the objects of a kind whose fields equal those filters, and the names in the path."""

    def act(call: Call) -> Document:
        for name, id in call.path.items():
            call.world.find(name, id)
        wanted = {name: call.given[name] for name in filters if name in call.given} | call.path
        found = [each for each in call.world.all_of(kind, call.account) if matches(each, wanted)]
        url = path
        for name, value in call.path.items():
            url = url.replace(f"{{{name}}}", value)
        return page(call, found, url, kind)

    return Endpoint("GET", path, act, Fields({**(BY_TIME if by_time else PAGING), **filters}))


def matches(document: Document, wanted: Document) -> bool:
    return all(document.get(name) == value for name, value in wanted.items())


def page(call: Call, found: list[Document], url: str, kind: str) -> Document:
    """One page of `found`, which is oldest first."""
    limit = call.given.get("limit", USUAL)
    if not 1 <= limit <= MOST:
        message = f"This value must be between 1 and {MOST} (inclusive)."
        raise Problem(message, code="parameter_invalid_integer", param="limit")
    bounds = call.given.get("created") or {}
    rows = [each for each in reversed(found) if _within(each, bounds)]
    ids = [each["id"] for each in rows]
    before = call.given.get("ending_before")
    if before:
        rows = rows[: _place(ids, before, kind, "ending_before")]
        return _shown_page(rows[-limit:], url, more=len(rows) > limit)
    after = call.given.get("starting_after")
    if after:
        rows = rows[_place(ids, after, kind, "starting_after") + 1 :]
    return _shown_page(rows[:limit], url, more=len(rows) > limit)


def _place(ids: list[str], id: str, kind: str, param: str) -> int:
    if id not in ids:
        raise missing(kind, id, param=param)
    return ids.index(id)


def _shown_page(rows: list[Document], url: str, *, more: bool) -> Document:
    return {"object": "list", "data": [shown(row) for row in rows], "has_more": more, "url": url}


def _within(document: Document, bounds: dict[str, int]) -> bool:
    at: int = document["date"] if "date" in document else document["created"]
    return (
        at > bounds.get("gt", -1)
        and at >= bounds.get("gte", 0)
        and at < bounds.get("lt", 2**60)
        and at <= bounds.get("lte", 2**60)
    )
