"""What both imports share: opening files, naming providers, counting what was left out."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TextIO, cast

from marketplace.models import Provider
from marketplace.seeds import PROVIDERS


@dataclass(slots=True)
class Summary:
    """Rows of the files, rows stored (spot counted apart), and why others were not."""

    read: int = 0
    stored: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        told = [f"{self.read:,} rows read, {self.stored:,} prices stored (spot counted apart)"]
        return told + [f"  left out, {reason}: {count:,}" for reason, count in self.left_out.most_common()]


def open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8", newline=""))
    return path.open(encoding="utf-8", newline="")


@cache
def _aliases() -> dict[str, str]:
    with PROVIDERS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {alias: row["slug"] for row in rows for alias in (row["slug"], *row["known_as"].split("|")) if alias}


class ProviderNames:
    """From the names in a file to providers of ours; one that we do not know yet is added by its name."""

    def __init__(self) -> None:
        self._known = set(Provider.objects.values_list("pk", flat=True))

    def slug_of(self, name: str) -> str:
        plain = name.strip().lower()
        slug = _aliases().get(plain) or plain.replace("-", "_")[:32]
        if slug not in self._known:
            Provider.objects.get_or_create(pk=slug, defaults={"name": name.replace("_", " ").replace("-", " ").title()})
            self._known.add(slug)
        return slug


def catalog_files(path: Path) -> Iterator[Path]:
    """The file itself, or the CSV files of a folder in the order of their names."""
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.iterdir() if file.name.endswith((".csv", ".csv.gz")))
