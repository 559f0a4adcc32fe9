"""Searching the market: filter, rank and show one page of offers, from the snapshot in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from lib.clock import now
from marketplace.models import Offer
from marketplace.offers import FRESH, HIDDEN, STALE
from marketplace.pricing import all_in
from marketplace.queries import OfferQuery
from marketplace.ranking import COSTS, CRITERIA, KINDS, price_merit, reference_scores, topsis, vram_class
from marketplace.regions import is_place
from marketplace.rows import OfferRow
from marketplace.snapshot import MICROS, SOURCES, Column, ProviderFacts, Snapshot, current

LIVE = SOURCES.index(Offer.Source.LIVE)
HOURS = 730
# Sorts whose larger values come first.
LARGE_FIRST = frozenset(
    {"count", "vram", "performance", "value", "reliability", "vcpus", "ram", "disk", "net", "fresh"}
)
SORT_COLUMNS = {
    "count": "gpu_count", "vram": "vram_gb", "performance": "tflops", "reliability": "reliability", "vcpus": "vcpus",
    "ram": "ram_gb", "disk": "disk_gb", "net": "net_down", "fresh": "seen", "gpu": "gpu", "total": "price",
}  # fmt: skip
FLOORS = {
    "min_vram": "vram_gb", "min_count": "gpu_count", "min_reliability": "reliability", "min_vcpus": "vcpus",
    "min_ram": "ram_gb", "min_disk": "disk_gb", "min_net": "net_down",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OfferPage:
    offers: list[OfferRow]
    total: int
    page: int
    pages: int
    hidden_unverified: int
    hidden_sources: dict[str, int]  # what the same filters find in the sources that were not asked for
    version: int


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of the snapshot that pass, and what the same filters found but the query hides."""

    rows: Column
    hidden_unverified: int
    hidden_sources: dict[str, int]


def browse(query: OfferQuery, snapshot: Snapshot | None = None) -> OfferPage:
    """One page of offers, best first in the query's order. `query` comes from `queries.parse_query`."""
    snapshot = snapshot or current()
    moment = now().timestamp()
    found = find(snapshot, query, moment)
    total = len(found.rows)
    pages = max(1, -(-total // query.limit))
    first = (min(query.page, pages) - 1) * query.limit
    order, scores = _order(snapshot, query, found.rows, moment, first, first + query.limit)
    return OfferPage(
        offers=_show(snapshot, query, found.rows[order], scores, moment),
        total=total,
        page=min(query.page, pages),
        pages=pages,
        hidden_unverified=found.hidden_unverified,
        hidden_sources=found.hidden_sources,
        version=snapshot.version,
    )


def count(query: OfferQuery) -> int:
    return len(find(current(), query, now().timestamp()).rows)


def find(snapshot: Snapshot, query: OfferQuery, moment: float) -> Found:
    # Who names a provider wants to see all that it has, such as a node without a card.
    slices = snapshot.slices(query.gpus, processors=bool(query.provider))
    parts = [_content_rows(snapshot, query, part) for part in slices]
    rows = np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
    sources = snapshot.columns["source"][rows]
    young = (sources != LIVE) | (snapshot.columns["seen"][rows] >= moment - HIDDEN.total_seconds())
    verified = snapshot.columns["verified"][rows]
    asked = np.isin(np.arange(len(SOURCES)), [SOURCES.index(source) for source in query.source])
    candidates = young & asked[sources]
    shown = candidates if query.unverified else candidates & verified
    others = np.bincount(sources[young], minlength=len(SOURCES))
    return Found(
        rows=rows[shown],
        hidden_unverified=int(np.count_nonzero(candidates)) - int(np.count_nonzero(shown)),
        hidden_sources={
            name: int(n) for name, n, wanted in zip(SOURCES, others, asked, strict=True) if n and not wanted
        },
    )


def _content_rows(snapshot: Snapshot, query: OfferQuery, part: slice) -> Column:
    """Rows of this slice that pass the filters on what an offer is; its source, age and checks come after."""
    columns = snapshot.columns
    mask = np.ones(part.stop - part.start, dtype=bool)
    for name, column in FLOORS.items():
        if (floor := getattr(query, name)) is not None:
            mask &= columns[column][part] >= floor * (0.97 if name == "min_vram" else 1)
    if query.max_vram is not None:
        mask &= columns["vram_gb"][part] <= query.max_vram
    if query.count is not None:
        mask &= columns["gpu_count"][part] == query.count
    if query.min_price is not None or query.max_price is not None:
        price = _all_in_per_gpu(snapshot, query, part)
        mask &= (price >= (query.min_price or 0)) & (price <= (query.max_price or np.inf) + 1e-9)
    for column, allowed in _memberships(snapshot, query):
        mask &= allowed[columns[column][part]]
    if query.rentable:
        mask &= columns["rentable"][part]
    rows: Column = np.flatnonzero(mask) + part.start
    return rows


def _memberships(snapshot: Snapshot, query: OfferQuery) -> list[tuple[str, Column]]:
    """For each filter over words: the column of codes, and for each code whether it is allowed."""
    found: list[tuple[str, Column]] = []
    if query.kind:
        found.append(("kind", np.asarray([kind in query.kind for kind in KINDS])))
    slugs = [facts.slug for facts in snapshot.providers]
    if query.provider or query.not_provider:
        wanted = [(not query.provider or slug in query.provider) and slug not in query.not_provider for slug in slugs]
        found.append(("provider", np.asarray(wanted, dtype=bool)))
    if query.region or query.not_region:
        inside = [not query.region or any(is_place(word, *place) for word in query.region) for place in snapshot.places]
        outside = [any(is_place(word, *place) for word in query.not_region) for place in snapshot.places]
        found.append(("place", np.asarray(inside, dtype=bool) & ~np.asarray(outside, dtype=bool)))
    return found


def _all_in_per_hour(snapshot: Snapshot, query: OfferQuery, rows: slice | Column) -> Column:
    """USD per hour with disk and traffic, as floats: for filters and order. What is shown is computed in Decimal."""
    columns = snapshot.columns
    price: Column = columns["price"][rows] / MICROS
    if query.disk_gb:
        price = price + np.nan_to_num(columns["disk_price"][rows]) / MICROS * query.disk_gb / HOURS
    if query.egress_gb:
        price = price + np.nan_to_num(columns["egress_price"][rows]) / MICROS * query.egress_gb / HOURS
    return price


def _all_in_per_gpu(snapshot: Snapshot, query: OfferQuery, rows: slice | Column) -> Column:
    if not query.disk_gb and not query.egress_gb:
        return snapshot.columns["gpu_price"][rows]
    per_gpu: Column = _all_in_per_hour(snapshot, query, rows) / snapshot.columns["gpu_count"][rows]
    return per_gpu


def _order(
    snapshot: Snapshot, query: OfferQuery, rows: Column, moment: float, first: int, last: int
) -> tuple[Column, Column]:
    """Places `first` to `last` of the order of `rows`, and the scores of those. Ties go by price, then by place."""
    price = _all_in_per_gpu(snapshot, query, rows)
    scores = _scores(snapshot, query, rows, price, moment)
    keys = _sort_keys(snapshot, query, rows, price, scores, moment)
    if query.descending:
        keys = -keys
    keys = np.nan_to_num(keys, nan=np.inf)  # what is not known comes last, in both directions
    near = np.arange(len(keys))
    if last < len(keys):
        near = np.flatnonzero(keys <= np.partition(keys, last - 1)[last - 1])
    order = near[np.lexsort((near, price[near], keys[near]))][first:last]
    return order, scores[order]


def _sort_keys(
    snapshot: Snapshot, query: OfferQuery, rows: Column, price: Column, scores: Column, moment: float
) -> Column:
    """Smaller first."""
    columns = snapshot.columns
    if query.sort == "best":
        usable = columns["rentable"][rows] & (columns["seen"][rows] >= moment - FRESH.total_seconds())
        group = np.where(usable, 0, np.where(columns["source"][rows] == LIVE, 1, 2))
        keys: Column = group * 2.0 - scores
        return keys
    if query.sort == "price":
        return price
    if query.sort == "value":
        return price / columns["tflops"][rows]
    if query.sort == "provider":
        names = np.argsort(np.argsort([facts.name.lower() for facts in snapshot.providers]))
        return names[columns["provider"][rows]].astype(float)
    if query.sort == "region":
        return columns["place"][rows].astype(float)
    if query.sort == "total":
        return _all_in_per_hour(snapshot, query, rows)
    values = columns[SORT_COLUMNS[query.sort]][rows].astype(float)
    return -values if query.sort in LARGE_FIRST else values


def _scores(snapshot: Snapshot, query: OfferQuery, rows: Column, price: Column, moment: float) -> Column:
    """0…1 for each row, NaN for live offers too old to be ranked."""
    columns = snapshot.columns
    weights = [query.weights[name] for name in CRITERIA]
    if query.ranking == "topsis":
        scores = _textbook(snapshot, rows, price, weights)
    else:
        merits = snapshot.merits[rows]
        if query.disk_gb or query.egress_gb:
            merits[:, 0] = price_merit(price, columns["kind"][rows], vram_class(columns["vram_gb"][rows]))
        scores = reference_scores(merits, weights)
    old = (columns["source"][rows] == LIVE) & (columns["seen"][rows] < moment - STALE.total_seconds())
    return np.where(old, np.nan, scores)


def _textbook(snapshot: Snapshot, rows: Column, price: Column, weights: list[int]) -> Column:
    """What is not stated counts as the worst of the set."""
    if not len(rows):
        return np.empty(0)
    columns = snapshot.columns
    values = [price] + [columns[name][rows] for name in ("tflops", "reliability", "vram_gb", "net_down")]
    filled = []
    for column in values:
        known = column[~np.isnan(column)]
        filled.append(np.nan_to_num(column, nan=known.min() if len(known) else 0.0))
    return topsis(np.column_stack(filled), weights, [name in COSTS for name in CRITERIA])


def _show(snapshot: Snapshot, query: OfferQuery, rows: Column, scores: Column, moment: float) -> list[OfferRow]:
    seen = snapshot.columns["seen"][rows]
    codes = snapshot.columns["provider"][rows]
    # One by one: taking them at once is handed to the threads of polars, and on a busy machine waiting for those takes
    # longer than all the rest.
    shown = (snapshot.frame.row(int(row), named=True) for row in rows)
    return [
        _show_row(row, snapshot.providers[code], float(when), moment, float(score), query)
        for row, code, when, score in zip(shown, codes, seen, scores, strict=True)
    ]


def _show_row(
    row: dict[str, Any], provider: ProviderFacts, seen: float, moment: float, score: float, query: OfferQuery
) -> OfferRow:
    age_s = max(0.0, moment - seen)
    priced = _Priced(_usd(row["price"]), _maybe_usd(row["disk_price"]), _maybe_usd(row["egress_price"]))
    return OfferRow(
        id=UUID(row["id"]),
        gpu=row["gpu"],
        count=row["gpu_count"],
        vram_gb=row["vram_gb"],
        kind=row["kind"],
        source=row["source"],
        price_per_hour=priced.price_per_hour,
        disk_price_gb_month=priced.disk_price_gb_month,
        egress_price_gb=priced.egress_price_gb,
        all_in=all_in(priced, disk_gb=query.disk_gb, egress_gb_month=query.egress_gb),
        provider=provider,
        tier=row["tier"],
        region=row["region"],
        country=row["country"],
        vcpus=row["vcpus"],
        ram_gb=row["ram_gb"],
        disk_gb=row["disk_gb"],
        net_down_mbps=row["net_down"],
        net_up_mbps=row["net_up"],
        reliability=row["reliability"],
        verified=row["verified"],
        available=row["available"],
        observed_at=datetime.fromtimestamp(seen, UTC),
        age_s=age_s,
        score=None if np.isnan(score) else score,
    )


@dataclass(slots=True)
class _Priced:
    price_per_hour: Decimal
    disk_price_gb_month: Decimal | None
    egress_price_gb: Decimal | None


def _usd(micros: int) -> Decimal:
    return Decimal(micros).scaleb(-6)


def _maybe_usd(micros: int | None) -> Decimal | None:
    return None if micros is None else _usd(micros)
