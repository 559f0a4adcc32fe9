"""Billing periods: whole intervals from an anchor, months by the calendar, and shares of them by the second."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from sandbox.store import Document

DAY_S = 86_400
SPANS = {"day": DAY_S, "week": 7 * DAY_S}
MONTHS = {"month": 1, "year": 12}


def following(anchor: int, after: int, recurring: Document) -> int:
    """The first end of a period after this moment. A month that is too short ends on its last day."""
    interval, count = recurring["interval"], recurring["interval_count"]
    if interval in SPANS:
        span = SPANS[interval] * count
        return int(anchor + ((after - anchor) // span + 1) * span)
    months = MONTHS[interval] * count
    first, last = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(after, UTC)
    steps = max(0, ((last.year - first.year) * 12 + last.month - first.month) // months - 1)
    while plus_months(anchor, steps * months) <= after:
        steps += 1
    return plus_months(anchor, steps * months)


def plus_months(at: int, months: int) -> int:
    moment = datetime.fromtimestamp(at, UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return int(moment.replace(year=year, month=month + 1, day=day).timestamp())


def share(amount: int, part_s: int, whole_s: int) -> int:
    """`amount` × part ÷ whole, in whole cents, a half rounded up."""
    return (2 * amount * part_s + whole_s) // (2 * whole_s)


def day_of(at: int) -> str:
    """As Stripe writes it into the descriptions of lines: 15 Nov 2026."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b %Y}"
