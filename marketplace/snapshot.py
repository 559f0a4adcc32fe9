"""The market in memory, as columns, for each process: what search reads instead of the database.

It follows the market's version: rows that changed since the version that it has seen are read and merged into a new
snapshot; who searches meanwhile keeps the old one. Prices are whole micro-dollars, so that sums shown are exact;
floating point serves filters and ranking alone.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from django.db import connection
from numpy.typing import NDArray

from marketplace.gpus import CPU, models_by_slug
from marketplace.models import MarketVersion, Offer, Provider
from marketplace.ranking import KINDS, merits_of
from marketplace.registry import rents_from_wallet

CHECK_S = 1.0
MICROS = 1_000_000
SOURCES: tuple[str, ...] = tuple(Offer.Source.values)
SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "provider": pl.String,
    "source": pl.String,
    "gpu": pl.String,
    "gpu_count": pl.Int32,
    "vram_gb": pl.Float64,
    "kind": pl.String,
    "price": pl.Int64,
    "disk_price": pl.Int64,
    "egress_price": pl.Int64,
    "vcpus": pl.Float64,
    "ram_gb": pl.Float64,
    "disk_gb": pl.Float64,
    "net_down": pl.Float64,
    "net_up": pl.Float64,
    "region": pl.String,
    "country": pl.String,
    "tier": pl.String,
    "reliability": pl.Float64,
    "verified": pl.Boolean,
    "available": pl.Int64,
    "observed": pl.Float64,
    "listed": pl.Boolean,
    "gone": pl.Boolean,
}
ROWS = """
    COPY (
      SELECT id, provider_id, source, gpu_id, gpu_count, vram_gb, kind, (price_per_hour * 1000000)::bigint,
             (disk_price_gb_month * 1000000)::bigint, (egress_price_gb * 1000000)::bigint, vcpus, ram_gb, disk_gb,
             net_down_mbps, net_up_mbps, region, country, tier, reliability, verified, available_count,
             extract(epoch FROM observed_at), listed, withdrawn_at IS NOT NULL
      FROM marketplace_offer WHERE version > {seen} {only_present}
    ) TO STDOUT (FORMAT csv)
"""
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    slug: str
    name: str
    health: str
    rentable: bool  # from our wallet, now
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows are sorted by GPU, so that a model is a slice. `columns` are arrays over all rows, codes count from 0."""

    version: int
    frame: pl.DataFrame
    columns: Mapping[str, Column]
    gpus: tuple[str, ...]
    starts: Column  # rows of gpus[g] are starts[g]:starts[g + 1]
    providers: tuple[ProviderFacts, ...]
    places: tuple[tuple[str, str], ...]  # (region, country)
    merits: Column

    @property
    def size(self) -> int:
        return self.frame.height

    def slices(self, wanted: frozenset[str] | None, *, processors: bool = False) -> list[slice]:
        """Where the rows of these models are; None means all cards, and bare processors only when they are asked for."""
        among = set(self.gpus) - (set() if processors else {CPU}) if wanted is None else wanted
        chosen = [n for n, gpu in enumerate(self.gpus) if gpu in among]
        slices: list[slice] = []
        for n in chosen:
            start, stop = int(self.starts[n]), int(self.starts[n + 1])
            if slices and slices[-1].stop == start:
                slices[-1] = slice(slices[-1].start, stop)
            else:
                slices.append(slice(start, stop))
        return slices


_lock = threading.Lock()
_current: Snapshot | None = None
_checked_at = 0.0


def current() -> Snapshot:
    """The newest snapshot. Looks for changes at most once a second; only the first caller ever waits for a load."""
    global _current, _checked_at
    known = _current
    if known is not None and time.monotonic() - _checked_at < CHECK_S:
        return known
    if not _lock.acquire(blocking=known is None):
        assert known is not None
        return known
    try:
        if _current is None or time.monotonic() - _checked_at >= CHECK_S:
            _current = follow(_current)
            _checked_at = time.monotonic()
        return _current
    finally:
        _lock.release()


def forget() -> None:
    """Load anew at the next search, such as after the database was replaced."""
    global _current
    _current = None


def follow(known: Snapshot | None) -> Snapshot:
    """A snapshot of the present market, from what is known where that is possible."""
    version = MarketVersion.objects.values_list("version", flat=True).filter(pk=1).first() or 0
    providers = _read_providers()
    if known is None or version < known.version:
        return build(_read_rows(-1, only_present=True), version, providers)
    if version > known.version:
        changed = _read_rows(known.version, only_present=False)
        kept = known.frame.join(changed, on="id", how="anti")
        return build(pl.concat([kept, changed.filter(~pl.col("gone"))]), version, providers)
    codes = {facts.slug: facts for facts in providers.values()}
    facts = tuple(codes[old.slug] for old in known.providers)
    if facts == known.providers:
        return known
    columns = {**known.columns, **_provider_columns(known.columns, facts)}
    return replace(known, providers=facts, columns=columns)


def _read_rows(seen: int, *, only_present: bool) -> pl.DataFrame:
    statement = ROWS.format(seen=int(seen), only_present="AND withdrawn_at IS NULL" if only_present else "")
    text = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            text.write(block)
    if not text.tell():
        return pl.DataFrame(schema=SCHEMA)
    text.seek(0)
    frame = pl.read_csv(text, has_header=False, new_columns=list(SCHEMA), schema_overrides=_read_types())
    words = [name for name, kind in SCHEMA.items() if kind is pl.String]
    truths = [name for name, kind in SCHEMA.items() if kind is pl.Boolean]
    return frame.with_columns(pl.col(*words).fill_null(""), pl.col(*truths) == "t")


def _read_types() -> list[Any]:
    """PostgreSQL writes t and f, which the reader does not take for truth values."""
    return [pl.String if kind is pl.Boolean else kind for kind in SCHEMA.values()]


def _read_providers() -> dict[str, ProviderFacts]:
    return {provider.slug: facts_of(provider) for provider in Provider.objects.order_by("slug")}


def facts_of(provider: Provider) -> ProviderFacts:
    return ProviderFacts(
        slug=provider.slug,
        name=provider.name,
        health=provider.health,
        rentable=provider.enabled and rents_from_wallet(provider.slug, provider.capabilities),
        last_success_at=provider.last_success_at,
    )


def build(frame: pl.DataFrame, version: int, providers: Mapping[str, ProviderFacts]) -> Snapshot:
    """Sort, number the words, and compute what does not depend on a query."""
    frame = frame.sort("gpu", maintain_order=True)
    gpus = tuple(frame["gpu"].unique().sort().to_list())
    gpu_codes = _codes(frame["gpu"], gpus)
    facts = tuple(providers.values())
    place_words = frame.select(pl.concat_str("country", pl.lit("|"), "region")).to_series()
    places = tuple(place_words.unique().sort().to_list())
    columns: dict[str, Column] = {
        "provider": _codes(frame["provider"], tuple(fact.slug for fact in facts)),
        "place": _codes(place_words, places),
        "kind": _codes(frame["kind"], KINDS),
        "source": _codes(frame["source"], SOURCES),
        "gpu": gpu_codes,
    }
    for name, kind in SCHEMA.items():
        if kind is not pl.String:
            columns[name] = _numbers(frame[name])
    columns["gpu_price"] = columns["price"] / (MICROS * columns["gpu_count"])
    columns["tflops"] = np.asarray([_tflops(gpu) for gpu in gpus], dtype=float)[gpu_codes]
    columns |= _provider_columns(columns, facts)
    return Snapshot(
        version=version,
        frame=frame,
        columns=columns,
        gpus=gpus,
        starts=np.searchsorted(gpu_codes, np.arange(len(gpus) + 1)),
        providers=facts,
        places=tuple((region, country) for country, _, region in (place.partition("|") for place in places)),
        merits=merits_of(
            price=columns["gpu_price"],
            kinds=columns["kind"],
            tflops=columns["tflops"],
            reliability=columns["reliability"],
            vram_gb=columns["vram_gb"],
            net_mbps=columns["net_down"],
        ),
    )


def _provider_columns(columns: Mapping[str, Column], facts: tuple[ProviderFacts, ...]) -> dict[str, Column]:
    """What changes with each listing: an offer that the last good one named was seen when that was read."""
    seen = np.asarray(
        [fact.last_success_at.timestamp() if fact.last_success_at else 0.0 for fact in facts], dtype=float
    )
    rentable = np.asarray([fact.rentable for fact in facts], dtype=bool)
    by_listing = np.where(columns["listed"], seen[columns["provider"]], 0.0) if len(facts) else columns["observed"]
    live = columns["source"] == SOURCES.index(Offer.Source.LIVE)
    return {
        "seen": np.where(live, np.maximum(columns["observed"], by_listing), columns["observed"]),
        "rentable": live & rentable[columns["provider"]] & (columns["available"] != 0),
    }


def _codes(words: pl.Series, known: tuple[str, ...]) -> Column:
    return words.cast(pl.Enum(known)).to_physical().to_numpy().astype(np.int32)


def _numbers(values: pl.Series) -> Column:
    """As floats where something may be missing (NaN), else as they are."""
    if values.null_count():
        return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values.to_numpy()


def _tflops(gpu: str) -> float:
    model = models_by_slug().get(gpu)
    return (model.fp16_dense_tflops if model else None) or float("nan")
