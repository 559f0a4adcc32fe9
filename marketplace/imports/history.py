"""A price history as CSV: observed_at, provider, instance_type, accelerator, accelerator_count, region, price_usd_hour,
spot_price_usd_hour, source. Read and stored as a stream; a source that was imported before is replaced.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from marketplace.gpus import normalise_gpu
from marketplace.imports.files import ProviderNames, Summary, open_text
from marketplace.models import Offer

COPY = """
    COPY marketplace_pricepoint (provider_id, gpu_id, kind, region, price_per_gpu_hour, at, source) FROM STDIN
"""
PREFIX = "history:"
BATCH = 50_000
SIX_PLACES = Decimal("0.000001")
# In these the price is that of the whole instance; elsewhere it is per GPU already.
WHOLE_INSTANCE = frozenset({"skypilot-catalog"})
Point = tuple[str, str, str, str, Decimal, str, str]


def import_price_history(path: Path, summary: Summary) -> Iterator[str]:
    """One transaction. Yields a line of progress for each 50,000 rows."""
    with transaction.atomic(), connection.cursor() as cursor, open_text(path) as text:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("DELETE FROM marketplace_pricepoint WHERE starts_with(source, %s)", [PREFIX])
        points = _points(csv.DictReader(text), ProviderNames(), summary)
        while batch := _take(points, summary):
            _copy(cursor, batch)
            summary.stored += len(batch)
            yield f"{summary.read:,} rows read, {summary.stored:,} prices stored"


def _take(points: Iterator[Point], summary: Summary) -> list[Point]:
    start, batch = summary.read, []
    for point in points:
        batch.append(point)
        if summary.read - start >= BATCH:
            break
    return batch


def _copy(cursor: Any, batch: Iterable[Point]) -> None:
    with cursor.copy(COPY) as copy:
        for point in batch:
            copy.write_row(point)


def _points(rows: Iterable[Mapping[str, str]], names: ProviderNames, summary: Summary) -> Iterator[Point]:
    slugs: dict[str, str] = {}
    for row in rows:
        summary.read += 1
        name, tier = row["accelerator"], row["instance_type"].partition(":")[0]
        gpu = _gpu(name) if name else None
        if gpu is None:
            summary.left_out["no GPU" if not name else "accelerator is not a GPU that we know"] += 1
            continue
        if tier == "serverless":
            summary.left_out["serverless, not a machine for rent"] += 1
            continue
        if (provider := slugs.get(row["provider"])) is None:
            provider = slugs[row["provider"]] = names.slug_of(row["provider"])
        cards = Decimal(row["accelerator_count"] or 1) if row["source"] in WHOLE_INSTANCE else Decimal(1)
        for kind, column in ((Offer.Kind.ON_DEMAND, "price_usd_hour"), (Offer.Kind.SPOT, "spot_price_usd_hour")):
            if price := _per_gpu(row[column], cards):
                yield provider, gpu, kind.value, row["region"][:80], price, row["observed_at"], PREFIX + row["source"]


@lru_cache(maxsize=4096)
def _gpu(name: str) -> str | None:
    match = normalise_gpu(name)
    return match.slug if match else None


def _per_gpu(text: str, cards: Decimal) -> Decimal | None:
    try:
        price = (Decimal(text) / cards).quantize(SIX_PLACES) if text else Decimal(0)
    except (InvalidOperation, ZeroDivisionError):
        return None
    return price if 0 < price < 10**6 else None
