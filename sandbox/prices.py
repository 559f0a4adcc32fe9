"""List prices from the facts table, and a plausible price where a provider publishes none."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

COLUMNS = ("provider", "model", "kind", "usd_per_gpu_hour")


def median(values: Iterable[Decimal]) -> Decimal:
    """The lower middle of a non-empty row of values."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


class ListPrices:
    """USD per GPU-hour by provider, model slug and kind."""

    def __init__(self, rows: Iterable[dict[str, str]]) -> None:
        self._prices: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(dict)
        for row in rows:
            self._prices[row["model"], row["kind"]][row["provider"]] = Decimal(row["usd_per_gpu_hour"])

    @classmethod
    def load(cls, file: Path) -> ListPrices:
        with file.open(newline="") as handle:
            reader = csv.DictReader(handle)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise ValueError(f"{file} lacks the columns {', '.join(sorted(missing))}")
            return cls(reader)

    def published(self, provider: str, model: str, kind: str = "on_demand") -> Decimal | None:
        return self._prices.get((model, kind), {}).get(provider)

    def price(self, provider: str, model: str) -> Decimal | None:
        """The on-demand price: published, or the median of others at this provider's usual level. None: nobody has it."""
        own = self.published(provider, model)
        if own is not None:
            return own
        others = self._prices.get((model, "on_demand"), {})
        return median(others.values()) * self._level(provider) if others else None

    def _level(self, provider: str) -> Decimal:
        """How dear a provider is beside the others: the median ratio over the models that both have."""
        ratios = [
            prices[provider] / median(price for other, price in prices.items() if other != provider)
            for (_, kind), prices in self._prices.items()
            if kind == "on_demand" and provider in prices and len(prices) > 1
        ]
        return median(ratios) if ratios else Decimal(1)
