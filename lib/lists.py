"""Paging by cursor: newest first, `{"items": […], "next": "…"}`. Ids sort by time, so the cursor is the last id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.db import models
from django.utils.translation import gettext as _

from lib.errors import Invalid

Row = TypeVar("Row", bound=models.Model)
MAX_LIMIT = 200


def page_of(
    rows: models.QuerySet[Row], *, limit: int, cursor: str | None, show: Callable[[Row], Any]
) -> dict[str, Any]:
    """One page of rows with UUIDv7 keys. `limit` is 1…200; a cursor that we did not make is refused."""
    check_limit(limit)
    if cursor:
        rows = rows.filter(pk__lt=parse_cursor(cursor))
    found = list(rows.order_by("-pk")[: limit + 1])
    following = found[limit - 1].pk.hex if len(found) > limit else None
    return {"items": [show(row) for row in found[:limit]], "next": following}


def listed(page: dict[str, Any], filters: dict[str, Any], cursor: str | None) -> dict[str, Any]:
    """For the page of such a list (`parts/older.html`): its rows, and the links that keep what was filtered by."""
    kept = urlencode({name: value for name, value in filters.items() if value})
    older = f"?{kept}&{urlencode({'before': page['next']})}" if page["next"] else ""
    return {"rows": page["items"], "filters": kept, "older": older, "is_first": cursor is None}


def check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(_("limit is out of range."), fields={"limit": [_("Ask for 1 to %d rows.") % MAX_LIMIT]})


def parse_cursor(cursor: str) -> UUID:
    try:
        return UUID(hex=cursor)
    except ValueError:
        raise bad_cursor() from None


def bad_cursor() -> Invalid:
    return Invalid(_("This cursor is not valid."), fields={"cursor": [_("Take it from `next`.")]})
