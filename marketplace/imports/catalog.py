"""Catalogues in the format of the SkyPilot catalogue: `<provider>.csv[.gz]` with one row for each instance type and zone.

`Price` and `SpotPrice` are USD per hour for the whole instance. Column order differs between files: read by name.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

from lib.ids import new_id
from marketplace.gpus import CPU, models_by_slug, normalise_gpu, read_name
from marketplace.imports.files import ProviderNames, Summary, catalog_files, open_text
from marketplace.models import Offer
from marketplace.upserts import OfferRow, write_offers

NEEDED = {"InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "SpotPrice", "Region"}
SIZE = re.compile(r"'SizeInMiB': (\d+)")
TOTAL = re.compile(r"'TotalGpuMemoryInMiB': (\d+)")
MIB_IN_GIB = 1024
SIX_PLACES = Decimal("0.000001")


def import_catalog(path: Path, summary: Summary, observed_at: datetime | None = None) -> Iterator[str]:
    """Store each file as its provider's offers of source "catalog", replacing those of an earlier import.

    Yields a line of progress for each file. `observed_at` is when the prices were true; by default the file's own time.
    """
    names = ProviderNames()
    for file in catalog_files(path):
        slug = names.slug_of(file.name.partition(".")[0])
        at = observed_at or datetime.fromtimestamp(file.stat().st_mtime, UTC)
        with open_text(file) as text:
            reader = csv.DictReader(text)
            if not set(reader.fieldnames or ()) >= NEEDED:
                yield f"{file.name}: not a catalogue of this format, left alone"
                continue
            rows = _numbered(_offers_of(reader, at, summary))
            written = write_offers(
                slug, Offer.Source.CATALOG, rows, at=at, complete=True, keep_since=at, keep_prices=False
            )
        summary.stored += written.seen
        yield f"{file.name}: {written.seen:,} offers ({written.new:,} new, {written.changed:,} changed)"


def _numbered(rows: Iterable[OfferRow]) -> Iterator[OfferRow]:
    """Some files name a type in a zone twice with different prices: both are kept, the later one as "…#2"."""
    seen: Counter[tuple[str, str]] = Counter()
    for row in rows:
        key = (row[1], row[2])
        seen[key] += 1
        yield row if seen[key] == 1 else (row[0], f"{row[1]}#{seen[key]}", *row[2:])


def _offers_of(rows: Iterable[Mapping[str, str]], at: datetime, summary: Summary) -> Iterator[OfferRow]:
    for row in rows:
        summary.read += 1
        gpu = _gpu_of(row["AcceleratorName"] or "", row["AcceleratorCount"] or "", row.get("GpuInfo") or "")
        if gpu is None:
            summary.left_out["accelerator is not a GPU that we know"] += 1
            continue
        prices = [(Offer.Kind.ON_DEMAND, _price(row["Price"])), (Offer.Kind.SPOT, _price(row["SpotPrice"]))]
        if not any(price for _, price in prices):
            summary.left_out["no price"] += 1
        for kind, price in prices:
            if price:
                yield _offer_row(row, gpu, kind.value, price, at)


def _offer_row(
    row: Mapping[str, str], gpu: tuple[str, int, float], kind: str, price: Decimal, at: datetime
) -> OfferRow:
    slug, count, vram_gb = gpu
    name = row["InstanceType"] or f"{row['AcceleratorName']} alone"
    region = row["Region"] or ""
    vcpus, ram_gb = _number(row.get("vCPUs")), _number(row.get("MemoryGiB"))
    form = models_by_slug()[slug].form_factor
    return (
        new_id(),
        _ref(row, name, count),
        kind,
        at,
        slug,
        count,
        vram_gb,
        price,
        None,
        None,
        vcpus,
        ram_gb,
        None,
        None,
        None,
        region[:80],
        _country(region),
        "",
        form,
        None,
        True,
        None,
        None,
        json.dumps({"instance_type": name, "gpu_only": not row["InstanceType"]}),
    )


def _ref(row: Mapping[str, str], name: str, count: int) -> str:
    parts = (
        name,
        f"{count}x{row['AcceleratorName']}",
        row["Region"],
        row.get("AvailabilityZone"),
        row.get("Generation"),
    )
    return "|".join(part or "" for part in parts)[:196]


@lru_cache(maxsize=4096)
def _gpu_of(name: str, count: str, info: str) -> tuple[str, int, float] | None:
    """Our slug, how many, and GB of each. A row without an accelerator is a machine with processors alone."""
    if not name:
        return CPU, 1, 0.0
    cards = int(float(count or 1))
    sizes = [None] if read_name(name).vram_gb else _sizes(info, cards)
    matches = [normalise_gpu(name, vram_gb=size) for size in sizes]
    fitting = [match for match in matches if match and match.confidence != "vram_differs"]
    match = next(iter(fitting), matches[-1])
    return (match.slug, cards, models_by_slug()[match.slug].vram_gb) if match else None


def _sizes(info: str, cards: int) -> list[float | None]:
    """GB per card that the row may mean: some files state the sum of all cards where others state one."""
    size, total = SIZE.search(info), TOTAL.search(info)
    if size is None:
        return [None]
    gb = int(size[1]) / MIB_IN_GIB
    shared = total is not None and total[1] == size[1] and cards > 1
    return [gb / cards, gb] if shared else [gb]


def _price(text: str | None) -> Decimal | None:
    try:
        price = Decimal(text or "0").quantize(SIX_PLACES)
    except InvalidOperation:
        return None
    return price if 0 < price < 10**6 else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _country(region: str) -> str:
    """Where the region's name says it: "Oregon, US, NA" or "us-east-1"."""
    words = [word.strip() for word in region.split(",")]
    stated = next((word for word in words[1:] if len(word) == 2 and word.isupper()), "")
    return stated or ("US" if region.lower().startswith("us-") else "")
