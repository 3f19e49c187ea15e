"""Mean average precision against hand-computed cases and a plain loop over rankings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wsra.runtime.evaluation.average_precision import average_precision, ious, map_chance_scores, map_scores

pytestmark = pytest.mark.device

A, B, OFF = [0.0, 10.0], [20.0, 30.0], [50.0, 60.0]


@pytest.mark.parametrize(
    ("answers", "truth", "expected"),
    [
        ([A], [A], 1.0),
        ([OFF, A], [A], 1 / 2),
        ([A, OFF, B], [A, B], (1 + 2 / 3) / 2),
        ([OFF, A, B], [A, B], 2 / 3),  # precision 1/2 at the first hit is lifted to the 2/3 of the second
        ([A, A, B], [A, B], (1 + 2 / 3) / 2),  # a true span is found once
        ([OFF], [A], 0.0),
        ([], [A], 0.0),
        ([A], [A, B], 1 / 2),
    ],
)
def test_by_hand(answers: list[list[float]], truth: list[list[float]], expected: float) -> None:
    assert average_precision(ious(np.array(answers).reshape(-1, 2), np.array(truth)), 0.5) == pytest.approx(expected)


def test_the_best_free_span_is_taken() -> None:
    truth = np.array([[0.0, 10.0], [0.0, 8.0]])
    assert average_precision(ious(np.array([[0.0, 10.0], [0.0, 9.0]]), truth), 0.75) == 1.0  # the second takes the second span: 8 / 9


def test_only_ten_answers_count_and_map_is_the_mean_of_ten_ious() -> None:
    scored = map_scores([np.array([OFF] * 10 + [A]), np.array([[0.0, 7.2]])], [np.array([A])] * 2)
    assert scored["map"].tolist() == [0.0, pytest.approx(0.5)]  # 0.72 reaches 0.5 to 0.7
    assert scored["map_iou70"].tolist() == [0.0, 1.0] and scored["map_iou75"].tolist() == [0.0, 0.0]


def test_exact_chance_is_the_mean_over_all_rankings() -> None:
    plan, truth = np.array([[0.0, 5.0], [0.0, 8.0], [2.0, 10.0], [20.0, 30.0], [6.0, 10.0]]), np.array([A])
    scored = map_chance_scores([plan], [truth])
    assert scored is not None
    rankings = [plan[list(order)] for order in itertools.permutations(range(len(plan)))]
    for level in (0.5, 0.75, 0.9):
        mean = np.mean([average_precision(ious(ranking, truth), level) for ranking in rankings])
        assert scored[f"map_iou{round(100 * level)}"][0] == pytest.approx(mean)
    assert map_chance_scores([plan], [np.array([A, B])]) is None
