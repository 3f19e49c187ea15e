from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsra.runtime.spans import BLOCK, PrefixSums, additive_scores, maximal_spans, pooled_means

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
    np.testing.assert_allclose(PrefixSums(rows).sums(spans), expected, atol=2e-4)


def test_a_day_with_a_large_offset_loses_nothing() -> None:
    count = 86_400
    rows = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32) + np.float32(1000.0)
    spans = np.array([[86_390.0, 86_400.0], [43_200.25, 43_203.75], [0.0, count]])
    expected = np.array([plain_sum(rows[int(a) - 1 if a else 0 :][: int(b - a) + 3], a - max(int(a) - 1, 0), b - max(int(a) - 1, 0))
                         if b - a < 100 else rows.astype(np.float64).sum(axis=0) for a, b in spans])  # fmt: skip
    np.testing.assert_allclose(PrefixSums(rows).sums(spans), expected, rtol=1e-8, atol=1e-5)


def test_pooled_mean_of_nothing_is_nothing() -> None:
    rows = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(pooled_means(rows, np.array([[1.0, 1.0], [0.5, 2.0]])), [[0, 0], [1, 1]])


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=QUARTERS), QUARTERS)
def test_additive_score_is_the_sum_over_the_span(logits: np.ndarray, theta: float) -> None:
    spans = np.array([(a, b) for a in range(len(logits)) for b in range(a + 1, len(logits) + 1)], float)
    expected = [(logits[int(a) : int(b)] - theta).sum() for a, b in spans]
    np.testing.assert_allclose(additive_scores(logits, spans, theta), expected, atol=1e-9)


def plain_maximal(values: np.ndarray) -> list[tuple[int, int, float]]:
    """Ruzzo and Tompa's definition by recursion: the best span (of the least length), then both sides of it."""

    def within(first: int, last: int) -> list[tuple[int, int, float]]:
        spans = [(a, b, values[a:b].sum()) for a in range(first, last) for b in range(a + 1, last + 1)]
        if not spans or max(s for *_, s in spans) <= 0:
            return []
        top = max(s for *_, s in spans)
        a, b, score = min((s for s in spans if s[2] == top), key=lambda s: s[1] - s[0])
        return [*within(first, a), (a, b, score), *within(b, last)]

    return within(0, len(values))


@settings(max_examples=300)
@given(hnp.arrays(np.float64, st.integers(1, 24), elements=QUARTERS))
def test_maximal_spans_follow_the_definition(values: np.ndarray) -> None:
    positions, scores = maximal_spans(values, 0.0)
    expected = plain_maximal(values)
    assert sorted(scores.tolist()) == sorted(score for *_, score in expected)
    # Where several spans tie, which of them is taken is free; all are disjoint and score what they say.
    assert (positions[1:, 0] >= positions[:-1, 1]).all()
    np.testing.assert_allclose(additive_scores(values, positions, 0.0), scores, atol=1e-12)


def test_a_known_example_of_the_paper_of_ruzzo_and_tompa() -> None:
    values = np.array([4, -5, 3, -3, 1, 2, -2, 2, -2, 1, 5], float)
    positions, scores = maximal_spans(values, 0.0)
    np.testing.assert_array_equal(positions, [[0, 1], [2, 3], [4, 11]])
    np.testing.assert_array_equal(scores, [4, 3, 7])


def test_nothing_above_theta_gives_no_span() -> None:
    positions, scores = maximal_spans(np.array([-1.0, -2.0]), 0.0)
    assert positions.shape == (0, 2) and scores.shape == (0,)


def test_a_planted_event_in_a_month_is_found_whole() -> None:
    logits = np.random.default_rng(1).normal(-1, 1, 2_592_000).astype(np.float32)
    logits[1000:1100] += 4
    positions, scores = maximal_spans(logits, 0.0)
    best = positions[np.argmax(scores)]
    assert 995 <= best[0] <= 1005 and 1095 <= best[1] <= 1105
