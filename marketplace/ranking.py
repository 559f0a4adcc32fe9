"""TOPSIS, twice: against fixed reference points (default) and by the textbook over a result set.

The textbook method (Hwang and Yoon, 1981) takes its ideal points from the offers at hand, so that adding an offer that
nobody would take can change which of the others leads. Against reference points fixed for each class, an offer's score
depends on that offer alone: a dominated one changes nothing.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from marketplace.gpus import load_models, models_by_slug
from marketplace.models import Offer
from marketplace.seeds import LIST_PRICES

Floats = NDArray[np.floating]

KINDS: Final[tuple[str, ...]] = tuple(Offer.Kind.values)  # their codes in the snapshot count from 0
CRITERIA: Final = ("price", "performance", "reliability", "vram", "net")
COSTS: Final = frozenset({"price"})
DEFAULT_WEIGHTS: Final[Mapping[str, int]] = {"price": 50, "performance": 20, "reliability": 15, "vram": 5, "net": 10}

# Upper ends of the VRAM classes in GB per GPU; processors alone are a class of their own.
VRAM_CLASSES: Final = (0.0, 8.5, 16.5, 25.0, 49.0, 97.0, math.inf)
# Where a criterion counts 0 and 1. Prices come from published list prices; the others are the range of what is sold.
RELIABILITY_RANGE: Final = (0.90, 1.0)
NET_RANGE_MBPS: Final = (10.0, 10_000.0)
NO_LIST_PRICE: Final = (0.001, 100.0)
UNKNOWN: Final = 0.5


def topsis(values: Floats, weights: Sequence[float], costs: Sequence[bool]) -> Floats:
    """Closeness C = d⁻ / (d⁺ + d⁻) in 0…1 for each row of `values` (rows: offers, columns: criteria).

    Vector normalisation, weights brought to sum 1. A column without differences decides nothing; where all rows are
    equal (one offer too) each is the ideal itself: 1.
    """
    share = np.asarray(weights, dtype=float) / np.sum(weights)
    length = np.sqrt(np.sum(np.square(values), axis=0))
    scaled = share * np.divide(values, length, out=np.zeros(values.shape), where=length > 0)
    worst_is_high = np.asarray(costs)
    ideal = np.where(worst_is_high, scaled.min(axis=0), scaled.max(axis=0))
    anti_ideal = np.where(worst_is_high, scaled.max(axis=0), scaled.min(axis=0))
    to_ideal = np.sqrt(np.sum(np.square(scaled - ideal), axis=1))
    to_anti_ideal = np.sqrt(np.sum(np.square(scaled - anti_ideal), axis=1))
    both = to_ideal + to_anti_ideal
    closeness: Floats = np.divide(to_anti_ideal, both, out=np.ones(len(values)), where=both > 0)
    return closeness


def reference_scores(merits: Floats, weights: Sequence[float]) -> Floats:
    """The same closeness where 0 and 1 in each column of `merits` are the fixed anti-ideal and ideal."""
    share = (np.asarray(weights, dtype=float) / np.sum(weights)).astype(merits.dtype)
    weighted = merits * share
    to_anti_ideal = np.sqrt(np.einsum("ij,ij->i", weighted, weighted))
    weighted -= share
    to_ideal = np.sqrt(np.einsum("ij,ij->i", weighted, weighted))
    closeness: Floats = to_anti_ideal / (to_anti_ideal + to_ideal)
    return closeness


def vram_class(vram_gb: Floats) -> NDArray[np.intp]:
    """The class of each card by its memory: an index into VRAM_CLASSES."""
    return np.searchsorted(np.asarray(VRAM_CLASSES), vram_gb, side="left")


@cache
def price_references() -> Floats:
    """Natural logarithms of (low, high) USD per GPU-hour by [kind, VRAM class]: half and twice what list prices span.

    A kind without list prices in a class is measured by the on-demand prices there.
    """
    prices: dict[tuple[str, int], list[Decimal]] = {}
    with LIST_PRICES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            size = models_by_slug()[row["model"]].vram_gb
            place = (row["kind"], int(vram_class(np.asarray([size]))[0]))
            prices.setdefault(place, []).append(Decimal(row["usd_per_gpu_hour"]))
    table = np.empty((len(KINDS), len(VRAM_CLASSES), 2))
    for n, kind in enumerate(KINDS):
        for index in range(len(VRAM_CLASSES)):
            found = prices.get((kind, index)) or prices.get((Offer.Kind.ON_DEMAND, index))
            low, high = (float(min(found)) / 2, float(max(found)) * 2) if found else NO_LIST_PRICE
            table[n, index] = math.log(low), math.log(high)
    return table


@cache
def _log_range(figure: str) -> tuple[float, float]:
    values = [value for model in load_models() if (value := getattr(model, figure))]
    return math.log(min(values)), math.log(max(values))


def price_merit(price_per_gpu_hour: Floats, kinds: NDArray[Any], classes: NDArray[np.intp]) -> Floats:
    """1 at half the lowest list price of the class, 0 at twice the highest, by ratio in between."""
    low, high = price_references()[kinds, classes].T
    merit: Floats = np.clip((high - np.log(price_per_gpu_hour)) / (high - low), 0, 1)
    return merit


def merits_of(
    *, price: Floats, kinds: NDArray[Any], tflops: Floats, reliability: Floats, vram_gb: Floats, net_mbps: Floats
) -> Floats:
    """One row of merits 0…1 for each offer, columns as CRITERIA. What a provider does not state counts as the middle."""
    columns = [
        price_merit(price, kinds, vram_class(vram_gb)),
        _by_ratio(tflops, _log_range("fp16_dense_tflops"), missing=0.0),
        _by_step(reliability, RELIABILITY_RANGE),
        _by_ratio(vram_gb, _log_range("vram_gb"), missing=0.0),
        _by_ratio(net_mbps, (math.log(NET_RANGE_MBPS[0]), math.log(NET_RANGE_MBPS[1])), missing=UNKNOWN),
    ]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)


def _by_ratio(values: Floats, log_range: tuple[float, float], *, missing: float) -> Floats:
    low, high = log_range
    known = values > 0
    merit = (np.log(values, where=known, out=np.full(values.shape, np.nan)) - low) / (high - low)
    bounded: Floats = np.where(known, np.clip(merit, 0, 1), missing)
    return bounded


def _by_step(values: Floats, ends: tuple[float, float]) -> Floats:
    low, high = ends
    merit: Floats = np.nan_to_num(np.clip((values - low) / (high - low), 0, 1), nan=UNKNOWN)
    return merit
