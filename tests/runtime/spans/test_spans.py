from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsra.runtime.spans.sums import BLOCK, BlockSums, additive_scores, ladder_means, ladder_sums, pooled_means, running_sums
from wsra.runtime.spans.windows import Rung, ladder_positions

pytestmark = pytest.mark.device
QUARTERS = st.integers(-40, 40).map(lambda n: n / 4)  # sums of these are exact


def plain_sum(rows: np.ndarray, start: float, end: float) -> np.ndarray:
    """The definition: each row times the share of it that lies inside."""
    shares = [max(0.0, min(end, k + 1) - max(start, k)) for k in range(len(rows))]
    return (rows.astype(np.float64) * np.array(shares)[:, None]).sum(axis=0)


@pytest.mark.parametrize("count", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_sums_at_every_boundary(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.normal(size=(count, 3)).astype(np.float32)
    cuts = np.unique(np.clip([0, 0.5, 1, count / 2, count - 1, count - 0.25, count, BLOCK, BLOCK + 0.5], 0, count))
    spans = np.array([(a, b) for a in cuts for b in cuts if b >= a])
    expected = np.array([plain_sum(rows, a, b) for a, b in spans])
    np.testing.assert_allclose(BlockSums(rows).sums(spans), expected, atol=2e-4)


def test_a_day_with_a_large_offset_loses_nothing() -> None:
    count = 86_400
    rows = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32) + np.float32(1000.0)
    spans = np.array([[86_390.0, 86_400.0], [43_200.25, 43_203.75], [0.0, count]])
    expected = np.array([plain_sum(rows[int(a) - 1 if a else 0 :][: int(b - a) + 3], a - max(int(a) - 1, 0), b - max(int(a) - 1, 0))
                         if b - a < 100 else rows.astype(np.float64).sum(axis=0) for a, b in spans])  # fmt: skip
    np.testing.assert_allclose(BlockSums(rows).sums(spans), expected, rtol=1e-8, atol=1e-5)


@given(st.integers(1, 90), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 3e4))
def test_means_of_a_ladder_are_those_of_its_windows(count: int, tile: int, seed: int, offset: float) -> None:
    rows = (np.random.default_rng(seed).normal(size=(count, 3)) + offset).astype(np.float16)
    ladder = [Rung(n, max(1, n // 5), (count - n) // max(1, n // 5) + 1) for n in (1, 2, 7, 33) if n <= count]
    means = [np.full((rung.windows, 3), np.nan) for rung in ladder]
    for number, first, found in ladder_means(rows, ladder, tile=tile):
        means[number][first : first + len(found)] = found
    expected = [plain_sum(rows, a, b) / (b - a) for a, b in ladder_positions(ladder)]
    np.testing.assert_allclose(np.concatenate(means), expected, rtol=1e-6)
    np.testing.assert_allclose(pooled_means(rows, ladder_positions(ladder)), expected, rtol=1e-12)


def test_sums_of_a_ladder_over_a_day_of_large_offsets() -> None:
    values = np.random.default_rng(0).normal(1e4, 1, 86_400)
    ladder = [Rung(1, 1, 86_400), Rung(128, 26, 3319)]
    found = ladder_sums(running_sums(values), ladder)
    expected = [[math.fsum(values[k * stride : k * stride + length]) for k in range(n)] for length, stride, n in ladder]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9)


def test_pooled_mean_of_nothing_is_nothing() -> None:
    rows = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(pooled_means(rows, np.array([[1.0, 1.0], [0.5, 2.0]])), [[0, 0], [1, 1]])


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=QUARTERS), QUARTERS)
def test_additive_score_is_the_sum_over_the_span(logits: np.ndarray, theta: float) -> None:
    spans = np.array([(a, b) for a in range(len(logits)) for b in range(a + 1, len(logits) + 1)], float)
    expected = [(logits[int(a) : int(b)] - theta).sum() for a, b in spans]
    np.testing.assert_allclose(additive_scores(logits, spans, theta), expected, atol=1e-9)
