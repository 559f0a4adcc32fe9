"""Ranking: the textbook's figures, and a default that a dominated offer cannot turn round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.ranking import CRITERIA, KINDS, VRAM_CLASSES, merits_of, price_references, reference_scores, topsis

# Price (a cost), storage, camera, looks of five phones; equal weights.
PHONES = np.asarray(
    [[250, 16, 12, 5], [200, 16, 8, 3], [300, 32, 16, 4], [275, 32, 8, 4], [225, 16, 16, 2]], dtype=float
)
CLOSENESS = [0.534277, 0.308368, 0.691632, 0.534737, 0.401046]
COSTS = [True, False, False, False]


def test_topsis_gives_the_textbooks_figures() -> None:
    assert topsis(PHONES, [1, 1, 1, 1], COSTS) == pytest.approx(CLOSENESS, abs=1e-6)


def test_weights_count_by_their_share() -> None:
    assert topsis(PHONES, [7, 7, 7, 7], COSTS) == pytest.approx(CLOSENESS, abs=1e-6)


def test_a_column_without_differences_decides_nothing() -> None:
    wider = np.column_stack([PHONES, np.full(5, 9.0), np.zeros(5)])
    order = np.argsort(topsis(wider, [1, 1, 1, 1, 3, 3], [*COSTS, False, False]))
    assert list(order) == list(np.argsort(CLOSENESS))


@pytest.mark.parametrize("rows", [1, 4])
def test_equal_offers_are_all_the_ideal(rows: int) -> None:
    assert list(topsis(np.tile(PHONES[0], (rows, 1)), [1, 1, 1, 1], COSTS)) == [1.0] * rows


def test_the_textbook_method_turns_round_when_a_dominated_offer_comes() -> None:
    """Why it is not the default."""
    two = np.asarray([[1.0, 1.0], [10.0, 3.0]])
    weights, costs = [1, 1], [True, False]
    before = topsis(two, weights, costs)
    with_dominated = topsis(np.vstack([two, [[60.0, 0.9]]]), weights, costs)
    assert (before[0] > before[1]) != (with_dominated[0] > with_dominated[1])


OFFER = st.tuples(
    st.floats(0.01, 50), st.floats(1, 2500), st.floats(0.5, 1), st.floats(4, 288), st.floats(1, 20_000)
)  # price, TFLOPS, reliability, VRAM, net


def _scores(offers: list[tuple[float, ...]], weights: list[int]) -> np.ndarray:
    price, tflops, reliability, vram, net = np.asarray(offers).T
    kinds = np.zeros(len(offers), dtype=int)
    merits = merits_of(price=price, kinds=kinds, tflops=tflops, reliability=reliability, vram_gb=vram, net_mbps=net)
    return reference_scores(merits, weights)


@settings(max_examples=200, deadline=None)
@given(
    offers=st.lists(OFFER, min_size=2, max_size=8),
    worse=st.tuples(st.floats(1, 5), st.floats(0.1, 1), st.floats(0.5, 1), st.floats(0.1, 1)),
    weights=st.lists(st.integers(0, 100), min_size=5, max_size=5).filter(any),
)
def test_a_dominated_offer_changes_no_score(
    offers: list[tuple[float, ...]], worse: tuple[float, ...], weights: list[int]
) -> None:
    price, tflops, reliability, vram, net = offers[0]
    dominated = (price * worse[0], tflops * worse[1], reliability * worse[2], vram, net * worse[3])
    before, after = _scores(offers, weights), _scores([*offers, dominated], weights)
    assert list(after[:-1]) == list(before)
    assert after[-1] <= after[0] + 1e-6
    assert np.all((after >= 0) & (after <= 1))


def test_what_is_not_stated_counts_as_the_middle() -> None:
    unknown = np.asarray([np.nan])
    known = np.asarray([1.0])
    merits = merits_of(
        price=known, kinds=np.asarray([0]), tflops=unknown, reliability=unknown, vram_gb=known * 80, net_mbps=unknown
    )
    assert dict(zip(CRITERIA, merits[0], strict=True)) == pytest.approx(
        {"price": merits[0][0], "performance": 0.0, "reliability": 0.5, "vram": merits[0][3], "net": 0.5}
    )


def test_every_class_and_kind_has_reference_prices() -> None:
    table = price_references()
    assert table.shape == (len(KINDS), len(VRAM_CLASSES), 2)
    assert np.all(table[:, :, 0] < table[:, :, 1])
