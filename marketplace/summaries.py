"""Counts and lowest prices by model and by provider, from the snapshot: for lists, tiles and the landing page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from django.utils.translation import gettext as _

from lib.clock import now
from lib.errors import NotFound
from marketplace.gpus import CPU, GpuFacts, load_models, models_by_slug
from marketplace.models import Offer
from marketplace.offers import HIDDEN, STALE
from marketplace.ranking import KINDS
from marketplace.snapshot import MICROS, SOURCES, Column, Snapshot, current

LIVE = SOURCES.index(Offer.Source.LIVE)
LIST_PRICE = SOURCES.index(Offer.Source.LIST_PRICE)
ON_DEMAND = KINDS.index(Offer.Kind.ON_DEMAND)
SPOT = KINDS.index(Offer.Kind.SPOT)


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """Prices are USD per GPU-hour; medians and lows are of live offers that are not too old."""

    model: GpuFacts
    live_offers: int
    lowest: Decimal | None
    median: Decimal | None
    lowest_spot: Decimal | None
    lowest_list_price: Decimal | None


@dataclass(frozen=True, slots=True)
class MarketFigures:
    live_offers: int
    live_gpus: int
    live_providers: int
    listed_providers: int
    models: int


def offered_models() -> list[ModelSummary]:
    """Every card that anybody offers now, those with most live offers first."""
    found = summarise_models([model for model in load_models() if model.slug != CPU])
    seen = [one for one in found if one.live_offers or one.lowest_list_price is not None]
    return sorted(seen, key=lambda one: (-one.live_offers, one.model.name))


def summarise_models(models: Iterable[GpuFacts]) -> list[ModelSummary]:
    snapshot = current()
    ranked = _ranked(snapshot)
    parts = {gpu: slice(int(snapshot.starts[n]), int(snapshot.starts[n + 1])) for n, gpu in enumerate(snapshot.gpus)}
    nowhere = slice(0, 0)
    return [_summarise(snapshot, parts.get(model.slug, nowhere), model, ranked) for model in models]


def get_model(slug: str) -> GpuFacts:
    """Raises NotFound."""
    model = models_by_slug().get(slug)
    if model is None:
        raise NotFound(_("There is no such GPU model."))
    return model


def market_figures(snapshot: Snapshot | None = None) -> MarketFigures:
    snapshot = snapshot or current()
    columns = snapshot.columns
    cards = columns["gpu"] != (snapshot.gpus.index(CPU) if CPU in snapshot.gpus else -1)
    live = (columns["source"] == LIVE) & (columns["seen"] >= now().timestamp() - HIDDEN.total_seconds())
    available = np.nan_to_num(columns["available"][live & cards].astype(float), nan=1.0)
    listed = columns["source"] == LIST_PRICE
    return MarketFigures(
        live_offers=int(np.count_nonzero(live)),
        live_gpus=int(np.sum(available * columns["gpu_count"][live & cards])),
        live_providers=len(np.unique(columns["provider"][live])),
        listed_providers=len(np.unique(columns["provider"][listed])),
        models=len(np.unique(columns["gpu"][live & cards])),
    )


def offers_by_provider(snapshot: Snapshot | None = None) -> dict[str, dict[str, int]]:
    """How many offers of each source a provider has: {"vast": {"live": 120}}."""
    snapshot = snapshot or current()
    codes = snapshot.columns["provider"] * len(SOURCES) + snapshot.columns["source"]
    counts = np.bincount(codes, minlength=len(snapshot.providers) * len(SOURCES)).reshape(-1, len(SOURCES))
    return {
        facts.slug: {source: int(n) for source, n in zip(SOURCES, row, strict=True) if n}
        for facts, row in zip(snapshot.providers, counts, strict=True)
    }


def _ranked(snapshot: Snapshot) -> Column:
    """Live, verified or not, and young enough for medians."""
    columns = snapshot.columns
    young: Column = columns["seen"] >= now().timestamp() - STALE.total_seconds()
    ranked: Column = (columns["source"] == LIVE) & young
    return ranked


def _summarise(snapshot: Snapshot, part: slice, model: GpuFacts, ranked: Column) -> ModelSummary:
    columns, ranked = snapshot.columns, ranked[part]
    per_gpu = columns["price"][part] // columns["gpu_count"][part]
    kinds, listed = columns["kind"][part], columns["source"][part] == LIST_PRICE
    on_demand = per_gpu[ranked & (kinds == ON_DEMAND)]
    return ModelSummary(
        model=model,
        live_offers=int(np.count_nonzero(ranked)),
        lowest=_lowest(on_demand),
        median=_usd(int(np.median(on_demand))) if len(on_demand) else None,
        lowest_spot=_lowest(per_gpu[ranked & (kinds == SPOT)]),
        lowest_list_price=_lowest(per_gpu[listed & (kinds == ON_DEMAND)]),
    )


def _lowest(micros: Column) -> Decimal | None:
    return _usd(int(micros.min())) if len(micros) else None


def _usd(micros: int) -> Decimal:
    return Decimal(micros) / MICROS
