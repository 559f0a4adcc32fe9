"""What instances cost on each day in UTC: the rows of a provider's bill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

DAY_S = 86_400
SECONDS_PER_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Cost:
    """USD, of one day or of many."""

    gpu: Decimal = Decimal(0)
    disk: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return self.gpu + self.disk

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.gpu + other.gpu, self.disk + other.disk)


def name_of(at: float) -> str:
    """The day of a moment: `2026-06-01`."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def begin_of(day: str) -> float:
    """Its midnight in unix seconds. Raises ValueError."""
    return datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()


def hours_by_day(since: float, until: float) -> Iterator[tuple[str, Decimal]]:
    """The hours between two moments, cut at each midnight."""
    while since < until:
        end = min(until, (since // DAY_S + 1) * DAY_S)
        yield name_of(since), Decimal(repr(end - since)) / SECONDS_PER_HOUR
        since = end


def within(days: dict[str, Cost], since: float, until: float) -> dict[str, Cost]:
    """The days that begin between two moments, the last one not included."""
    return {day: cost for day, cost in days.items() if since <= begin_of(day) < until}


def total(days: dict[str, Cost]) -> Cost:
    return sum(days.values(), Cost())
