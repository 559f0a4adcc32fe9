"""One figure beside its reference from the same run, and the table of them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`value` and `reference` are medians in `unit`; `ratio` is ours to the reference's, None where there is none.

    `spread` is the range of our runs as a share of their median: 0.1 means that they lay within 10 % of it.
    `aim` is empty or such as `≤ 5 ms` (of the value, in its unit) and `≥ 0.9 ×` (of the ratio).
    """

    name: str
    value: float
    unit: str
    reference_name: str
    reference: float | None
    ratio: float | None
    aim: str
    spread: float

    @property
    def met(self) -> bool | None:
        """None where nothing is aimed at."""
        found = AIM.match(self.aim)
        if found is None:
            return None
        sign, number, unit = found.groups()
        reached = self.value if unit and unit == self.unit else self.ratio
        if reached is None:
            raise ValueError(f"{self.name}: {self.aim} speaks of a ratio or of {unit}, and there is none")
        return reached <= float(number) if sign == "≤" else reached >= float(number)


AIM = re.compile(r"([≤≥]) ([0-9.]+) ?(ms|s\b)?")


def median_and_spread(values: Sequence[float]) -> tuple[float, float]:
    middle = statistics.median(values)
    return middle, (max(values) - min(values)) / middle if middle else 0.0


def print_table(rows: Sequence[Row]) -> None:
    head = ("what", "value", "", "spread", "reference", "value", "ratio", "aim", "")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    right = {1, 3, 5, 6}
    for number, line in enumerate(cells):
        parts = [
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(parts).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def _cells(row: Row) -> tuple[str, ...]:
    reference = "" if row.reference is None else _short(row.reference)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ×"
    met = {None: "", True: "met", False: "NOT MET"}[row.met]
    spread = f"{row.spread:.0%}"
    return (row.name, _short(row.value), row.unit, spread, row.reference_name, reference, ratio, row.aim, met)


def _short(value: float) -> str:
    """Three significant digits, and thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
