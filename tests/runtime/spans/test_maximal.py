from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsra.runtime.kernels.numba_kernel import fused_failure
from wsra.runtime.spans.maximal import maximal_of, maximal_spans
from wsra.runtime.spans.sums import additive_scores, running_sums

pytestmark = pytest.mark.device
QUARTERS = st.integers(-40, 40).map(lambda n: n / 4)  # sums of these are exact


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


@pytest.mark.skipif(fused_failure() is not None, reason=f"{fused_failure()}")
@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 300), elements=st.one_of(QUARTERS, st.floats(-1e6, 1e6))))
def test_the_compiled_search_finds_the_same_bits(values: np.ndarray) -> None:
    running = running_sums(values)
    for one, other in zip(maximal_of(values, running), maximal_of(values, running, compiled=True), strict=True):
        np.testing.assert_array_equal(one, other)
