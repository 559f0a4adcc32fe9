"""The market: browsing against gpuhunt in memory on the same rows, ranking everything, ingestion against a bare COPY."""

from __future__ import annotations

import csv
import gc
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from django.db import connection, transaction
from gpuhunt import AcceleratorVendor, Catalog, CatalogItem
from gpuhunt._internal.catalog import OFFLINE_PROVIDERS, ProviderCatalog

from benchmarks.report import Row, median_and_spread
from config.environment import BASE_DIR
from lib.ids import new_id
from marketplace import snapshot
from marketplace.gpus import parse_gpu_query
from marketplace.imports.catalog import import_catalog
from marketplace.imports.files import Summary
from marketplace.models import Offer
from marketplace.queries import OfferQuery, parse_query
from marketplace.search import browse
from marketplace.seeds import LIST_PRICES, seed_gpu_models, seed_providers
from marketplace.snapshot import Snapshot
from marketplace.upserts import COLUMNS, OfferRow, write_offers

CATALOG = BASE_DIR.parent / "shared" / "data" / "catalog"
ROWS = 110_000
ROUNDS = 7
QUERIES = 60
MILLION = 1_000_000
ALL_SOURCES = ",".join(Offer.Source.values)
# gpuhunt answers for the providers that it knows; the others' rows go under one of their names.
THEIR_NAMES = {"lambda_labs": "lambdalabs"}


def run() -> list[Row]:
    seed_gpu_models()
    seed_providers()
    ingestion = _ingestion(list(itertools.islice(_made_rows(), ROWS)))
    _load()
    market = snapshot.follow(None)
    print(f"  {market.size:,} rows in memory")
    return [*_browsing(market), *_at_a_million(market), *ingestion]


def _load() -> None:
    """The real catalogues where they are on this machine, else rows made from list prices."""
    if not CATALOG.is_dir():
        return
    Offer.objects.all().delete()
    for line in import_catalog(CATALOG, Summary(), datetime(2024, 5, 1, tzinfo=UTC)):
        print(f"  {line}")


def _made_rows() -> Iterator[OfferRow]:
    """List prices again and again, each with another reference and a slightly other price."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with LIST_PRICES.open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    for n, row in enumerate(itertools.cycle(listed)):
        price = Decimal(row["usd_per_gpu_hour"]) * (1 + Decimal(n % 97) / 1000)
        yield (
            new_id(), f"made-{n}", row["kind"], at, row["model"], 1, float(row["vram_gb"]), round(price, 6), None, None, 16.0,
            64.0, 500.0, 1000.0, 1000.0, f"region-{n % 40}", "US", "", "", 0.99, True, 1, None, "{}",
        )  # fmt: skip


def _milliseconds(act: Callable[[], object], times: int) -> list[float]:
    gc.collect()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        found.append((time.perf_counter() - started) * 1000)
    return found


def _rounds(act: Callable[[], object], times: int = QUERIES) -> tuple[tuple[float, float], tuple[float, float]]:
    """(median, spread) of the rounds' p50, and of their p95, in milliseconds."""
    act()
    runs = [np.percentile(_milliseconds(act, times), (50, 95)) for _ in range(ROUNDS)]
    return median_and_spread([float(p50) for p50, _ in runs]), median_and_spread([float(p95) for _, p95 in runs])


def _browsing(market: Snapshot) -> list[Row]:
    query = parse_query({"gpu": "A100", "source": ALL_SOURCES, "unverified": "1"})
    theirs = _gpuhunt(market)
    gc.collect()
    gc.freeze()  # its hundred thousand objects are no work for the collector while ours is measured
    ours = set(_ids(replace(query, limit=market.size), market))
    their_set = {item.instance_name for item in theirs.query(gpu_name="A100")}
    if ours != their_set:
        raise AssertionError(f"the result sets differ: {len(ours)} and {len(their_set)}")
    p50, p95 = _rounds(lambda: browse(query, market))
    reference, reference_p95 = _rounds(lambda: theirs.query(gpu_name="A100"), times=5)
    name = f"browse: {len(ours):,} A100 offers of {market.size:,}, TOPSIS, 50 rows"
    everything = replace(query, gpu="", gpus=frozenset(market.gpus))
    ranked, ranked_p95 = _rounds(lambda: browse(everything, market), times=20)
    return [
        Row(
            f"{name}, p50",
            p50[0],
            "ms",
            "gpuhunt, filter",
            reference[0],
            reference[0] / p50[0],
            "≥ 50 × faster",
            p50[1],
        ),
        Row(
            "  the same, p95",
            p95[0],
            "ms",
            "gpuhunt, p95",
            reference_p95[0],
            reference_p95[0] / p95[0],
            "≤ 5 ms",
            p95[1],
        ),
        Row(f"rank all {market.size:,} rows, p50", ranked[0], "ms", "", None, None, "", ranked[1]),
        Row("  the same, p95", ranked_p95[0], "ms", "", None, None, "", ranked_p95[1]),
    ]


def _ids(query: OfferQuery, market: Snapshot) -> Iterable[str]:
    return (str(row.id) for row in browse(query, market).offers)


def _gpuhunt(market: Snapshot) -> Catalog:
    """The same rows in gpuhunt's own structure; our names for the A100's variants become its one name."""
    a100 = frozenset[str]().union(*parse_gpu_query("A100"))
    items: dict[str, list[CatalogItem]] = {name: [] for name in OFFLINE_PROVIDERS}
    for row in market.frame.iter_rows(named=True):
        provider = THEIR_NAMES.get(row["provider"], row["provider"])
        cpu_only = row["gpu"] == "cpu"
        items.setdefault(provider if provider in items else "cloudrift", []).append(
            CatalogItem(
                provider=provider if provider in items else "cloudrift",
                instance_name=row["id"],
                location=row["region"],
                price=row["price"] / snapshot.MICROS,
                cpu=int(row["vcpus"] or 0),
                memory=row["ram_gb"] or 0.0,
                gpu_count=0 if cpu_only else row["gpu_count"],
                gpu_name=None if cpu_only else ("A100" if row["gpu"] in a100 else row["gpu"]),
                gpu_memory=None if cpu_only else row["vram_gb"],
                gpu_vendor=None if cpu_only else AcceleratorVendor.NVIDIA,
                spot=row["kind"] == "spot",
                disk_size=None,
            )
        )
    catalog = Catalog(balance_resources=False, auto_reload=False)
    catalog.loaded_at = time.monotonic()
    catalog.catalog = {name: ProviderCatalog("made", rows) for name, rows in items.items()}
    return catalog


def _at_a_million(market: Snapshot) -> list[Row]:
    copies = [
        market.frame.with_columns(pl.Series("id", [str(new_id()) for _ in range(market.size)]))
        for _ in range(-(-MILLION // market.size))
    ]
    facts = {provider.slug: provider for provider in market.providers}
    large = snapshot.build(pl.concat(copies).head(MILLION), market.version, facts)
    query = parse_query({"gpu": "A100", "source": ALL_SOURCES, "unverified": "1"})
    total = browse(query, large).total
    p50, p95 = _rounds(lambda: browse(query, large))
    return [
        Row(f"browse: {total:,} A100 offers of {large.size:,}, p50", p50[0], "ms", "", None, None, "", p50[1]),
        Row("  the same, p95", p95[0], "ms", "", None, None, "≤ 15 ms", p95[1]),
    ]


def _ingestion(rows: list[OfferRow]) -> list[Row]:
    """The first listing of all rows, each time into an empty market.

    Beside it COPY of the same rows into the same table (its keys and indexes are what storing them costs at least), and
    into a temporary table without any, which keeps nothing.
    """
    ours = [_seconds(lambda: _ingest(rows), _empty) for _ in range(3)]
    same = [_seconds(lambda: _copy(rows, "marketplace_offer"), _empty) for _ in range(3)]
    loose = [_seconds(lambda: _copy(rows, "bare"), _make_bare) for _ in range(3)]
    mine, spread = median_and_spread([len(rows) / spent for spent in ours])
    table = []
    for name, reference, spents in (
        (f"ingest {len(rows):,} new offers", "COPY, same table", same),
        ("  the same", "COPY, no key or index", loose),
    ):
        theirs, _ = median_and_spread([len(rows) / spent for spent in spents])
        table.append(Row(name, mine, "rows/s", reference, theirs, mine / theirs, "≥ 0.25", spread))
    return table


def _seconds(act: Callable[[], object], before: Callable[[], object]) -> float:
    before()
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _empty() -> None:
    Offer.objects.all().delete()


def _ingest(rows: list[OfferRow]) -> None:
    at: Any = rows[0][3]
    write_offers("vast", Offer.Source.LIVE, rows, at=at, complete=True, keep_since=at, keep_prices=False)


def _make_bare() -> None:
    _empty()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(f"CREATE TEMP TABLE bare AS SELECT {', '.join(COLUMNS)} FROM marketplace_offer WITH NO DATA")


def _copy(rows: list[OfferRow], table: str) -> None:
    at = rows[0][3]
    rest = ("vast", Offer.Source.LIVE.value, at, True, 1) if table == "marketplace_offer" else ()
    names = [*COLUMNS, *(("provider_id", "source", "first_seen_at", "listed", "version") if rest else ())]
    statement = f"COPY {table} ({', '.join(names)}) FROM STDIN"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row + rest)
