from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsra.runtime.evaluation.metrics import ON_THRESHOLD, chance, chance_scores, figures, recall_name, scores
from wsra.runtime.spans.moments import NMS_IOU, best_first, best_iou, best_of_ladder, iou
from wsra.runtime.spans.windows import Rung, ladder_positions, seconds_ladder

pytestmark = pytest.mark.device

SPAN = st.tuples(st.floats(0, 50), st.floats(0.1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@pytest.mark.parametrize(
    ("span", "other", "expected"),
    [((0, 10), (0, 10), 1.0), ((0, 10), (5, 15), 1 / 3), ((0, 1), (2, 3), 0.0), ((0, 4), (1, 2), 0.25), ((3, 3), (3, 3), 0.0)],
)
def test_iou(span: tuple[float, float], other: tuple[float, float], expected: float) -> None:
    assert iou(np.array([span], float), np.array(other, float))[0] == pytest.approx(expected)


def plain_suppression(spans: np.ndarray, scores: np.ndarray, count: int) -> list[int]:
    """The definition: keep the best, drop what overlaps it, and so on."""
    order, kept = best_first(scores), []
    while len(order) and len(kept) < count:
        kept.append(int(order[0]))
        order = order[1:][iou(spans[order[1:]], spans[order[0]]) <= NMS_IOU]
    return kept


@given(st.integers(1, 300), st.sampled_from([0.5, 1.0, 3.0]), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_suppression_on_a_ladder_follows_the_definition(count: int, snippet_s: float, wanted: int, seed: int, ties: bool) -> None:
    starts = np.arange(count) * snippet_s
    ladder = seconds_ladder(np.stack([starts, starts + snippet_s], axis=1))
    positions, rng = ladder_positions(ladder), np.random.default_rng(seed)
    scores = rng.integers(0, 4, len(positions)).astype(float) if ties else rng.normal(size=len(positions))
    rungs = np.split(scores.copy(), np.cumsum([rung.windows for rung in ladder])[:-1])
    found, scored = best_of_ladder(ladder, rungs, count=wanted)
    kept = plain_suppression(positions, scores, wanted)
    np.testing.assert_array_equal(found, positions[kept])
    np.testing.assert_array_equal(scored, scores[kept])


def test_only_what_scores_above_the_floor_is_kept() -> None:
    found, scored = best_of_ladder([Rung(2, 4, 3)], [np.array([0.0, 1.0, -1.0])], count=5, above=0.0)
    assert found.tolist() == [[4, 6]] and scored.tolist() == [1]
    found, scored = best_of_ladder([Rung(2, 1, 3)], [np.zeros(3)], count=5, above=0.0)
    assert found.shape == (0, 2) and scored.shape == (0,)


def test_of_several_true_spans_the_best_counts() -> None:
    assert best_iou(np.array([[0.0, 2.0]]), np.array([[5.0, 9.0], [0.0, 4.0]]))[0] == 0.5
    assert best_iou(np.array([[0.0, 2.0]]), np.zeros((0, 2)))[0] == 0.0


def test_no_answer_counts_zero() -> None:
    scored = figures([np.zeros((0, 2)), np.array([[0.0, 1.0]])], [np.array([[0.0, 1.0]])] * 2)
    assert (scored.queries, scored.r1_iou50, scored.miou) == (2, 50.0, 50.0)


def test_fewer_than_five_answers_count_as_they_are() -> None:
    truth = [np.array([[0.0, 10.0]])]
    scored = figures([np.array([[20.0, 30.0], [0.0, 10.0]])], truth)
    assert (scored.r1_iou30, scored.r5_iou30, scored.r5_iou70, scored.miou) == (0.0, 100.0, 100.0, 0.0)


def test_a_prediction_on_a_threshold_reaches_it_whatever_the_order_of_operations() -> None:
    # 0.1 + 0.2 style ends: the quotients differ from 0.3, 0.5 and 0.7 by one unit in the last place, some upwards and some downwards.
    rng = np.random.default_rng(0)
    for start, length in rng.uniform(0, 40, (200, 2)):
        for level in (0.3, 0.5, 0.7):
            scored = scores([np.array([[start, start + level * length]])], [np.array([[start, start + length]])])
            assert scored[recall_name(1, level)][0] == 1.0
    assert scores([np.array([[0.0, 0.5 - 1e-6]])], [np.array([[0.0, 1.0]])])["r1_iou50"][0] == 0.0


@given(st.lists(SPAN, min_size=1, max_size=7), SPAN)
def test_exact_chance_is_the_mean_over_all_rankings(plan: list[tuple[float, float]], truth: tuple[float, float]) -> None:
    windows, spans = np.array(plan), np.array([truth])
    found = chance_scores([windows], [spans], ranks=(1, 2, 5))
    overlaps = best_iou(windows, spans)
    for rank in (1, 2, 5):
        draws = list(itertools.combinations(overlaps, min(rank, len(plan))))
        for level in (0.3, 0.5, 0.7):
            share = np.mean([max(draw) >= level - ON_THRESHOLD for draw in draws])
            assert found[recall_name(rank, level)][0] == pytest.approx(share, abs=1e-12)
    assert chance([windows], [spans]).miou == pytest.approx(100 * overlaps.mean(), abs=1e-3)
