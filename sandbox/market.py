"""A market that moves. Everything is a function of (seed, tick), so that any tick can be shown again.

Prices follow an AR(1) process, the simplest that wanders and comes back: x(t) = PULL·x(t-1) + e(t). It is written
here as its moving average over the last MEMORY shocks, each drawn from (seed, name, tick) by a hash, because that
form needs no history: a restarted peer knows its prices from the tick alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

Item = TypeVar("Item")

PULL = 0.9
MEMORY = 64
UNIT_VARIANCE = math.sqrt(1 - PULL * PULL)
WEIGHTS = tuple(UNIT_VARIANCE * PULL**age for age in range(MEMORY))
SIX_PLACES = Decimal("0.000001")


class Market:
    def __init__(self, seed: int, tick: int = 0) -> None:
        self.seed = seed
        self.tick = tick
        self._shock = lru_cache(maxsize=100_000)(self._draw_shock)
        self._wave = lru_cache(maxsize=10_000)(self._sum_shocks)

    def chance(self, *name: object) -> float:
        """A number in [0, 1) that belongs to this name for ever."""
        return int.from_bytes(self._digest(*name)) / 2**64

    def whole(self, low: int, high: int, *name: object) -> int:
        """A whole number in [low, high] that belongs to this name for ever."""
        return low + int(self.chance(*name) * (high - low + 1))

    def pick(self, choices: Sequence[Item], *name: object) -> Item:
        return choices[int(self.chance(*name) * len(choices))]

    def wave(self, name: str, *, every: int = 1, at: int | None = None) -> float:
        """A wandering number around 0 with variance 1; it takes a step each `every` ticks."""
        tick = self.tick if at is None else at
        return self._wave(name, (tick + int(self.chance(name, "phase") * every)) // every)

    def level(self, name: str, *, every: int = 6) -> float:
        """The same in (0, 1): how much is in stock."""
        return 0.5 * (1 + math.erf(self.wave(name, every=every) / math.sqrt(2)))

    def drift(self, price: Decimal, name: str, *, swing: float = 0.05, every: int = 1) -> Decimal:
        """`price` as it stands now. A `swing` of 0.05 means steps of about 2 % and a spread of about 5 %."""
        return scale(price, math.exp(swing * self.wave(name, every=every)))

    def held_since(self, name: str, ticks: int) -> int:
        """The tick at which this name last changed, for what stays as it is for `ticks` ticks."""
        return self.tick - (self.tick + int(self.chance(name, "hold") * ticks)) % ticks

    def run(self, name: str, *, ticks: int, share: float) -> int | None:
        """For things that come and go in blocks of `ticks`, there for `share` of the time: when this stay began."""
        block = (self.tick + int(self.chance(name, "block") * ticks)) // ticks
        if self.chance(name, "there", block) >= share:
            return None
        while self.chance(name, "there", block - 1) < share:
            block -= 1
        return block

    def _sum_shocks(self, name: str, step: int) -> float:
        return sum(weight * self._shock(name, step - age) for age, weight in enumerate(WEIGHTS))

    def _draw_shock(self, name: str, step: int) -> float:
        """Nearly normal: the sum of four uniform numbers has the right mean and variance and short tails."""
        digest = self._digest(name, step)
        total = sum(int.from_bytes(digest[i : i + 2]) for i in (0, 2, 4, 6))
        return (total / 65536 - 2) * math.sqrt(3)

    def _digest(self, *name: object) -> bytes:
        return blake2b(repr((self.seed, *name)).encode(), digest_size=8).digest()


def scale(price: Decimal, factor: float) -> Decimal:
    """A price times a factor of the market, with six places."""
    return (price * Decimal(repr(factor))).quantize(SIX_PLACES)
