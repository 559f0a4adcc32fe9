"""The time by which subscriptions are renewed: the wall's, until a test sets one of its own."""

from __future__ import annotations

import time
from calendar import monthrange
from datetime import UTC, datetime

from sandbox.store import Store


def now(store: Store) -> float:
    frozen: float | None = store.value("clock")
    return time.time() if frozen is None else frozen


def set_to(store: Store, moment: str) -> float:
    """Raises ValueError for what is no time, or not after the present one that was set."""
    at = datetime.fromisoformat(moment).timestamp()
    if at < store.value("clock", 0.0):
        raise ValueError("time does not go back")
    store.set_value("clock", at)
    return at


def months_after(anchor: float, months: int) -> float:
    """The same day of a later month, or its last day: 31 January → 28 February → 31 March."""
    start = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last)).timestamp()
