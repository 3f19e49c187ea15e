"""The controls against cases in which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from wsra.export.controls import TestSet, chance_figures, motion_figures, other_event, prior_figures, shuffled_queries
from wsra.runtime.annotations import Annotation
from wsra.runtime.backbones.motion import FEATURE_NAMES
from wsra.runtime.features import Features


def video(name: str, moving: slice) -> Features:
    values = np.zeros((20, len(FEATURE_NAMES)), np.float32)
    values[moving, FEATURE_NAMES.index("scene: foreground")] = 0.05
    starts = np.arange(20.0)
    return Features(values, np.stack([starts, starts + 1], 1), name, 20.0, "motion-2@1s")


def row(qid: str, vid: str, window: tuple[float, float]) -> Annotation:
    return Annotation(qid, f"sentence {qid}", vid, 20.0, (window,), {})


@pytest.fixture
def test_set() -> TestSet:
    annotations = [row("1", "a", (4.0, 8.0)), row("2", "a", (12.0, 16.0)), row("3", "b", (4.0, 8.0))]
    return TestSet(annotations, {"a": video("a", slice(4, 8)), "b": video("b", slice(4, 8))})


def test_motion_finds_what_moves_and_nothing_else(test_set: TestSet) -> None:
    figures = motion_figures(test_set, list(test_set.features.values()))
    assert figures.r1_iou70 == pytest.approx(200 / 3, abs=0.01)  # the second event of `a` does not move


def test_the_prior_is_the_window_of_training(test_set: TestSet) -> None:
    figures = prior_figures(test_set, [row("t", "t", (4.0, 8.0))] * 3)
    assert figures.r1_iou50 == pytest.approx(200 / 3, abs=0.01)


def test_chance_is_small_and_not_nothing(test_set: TestSet) -> None:
    assert 0 < chance_figures(test_set).r1_iou50 < 25


def test_wrong_sentences_come_from_elsewhere(test_set: TestSet) -> None:
    shuffled = shuffled_queries(test_set, 0)
    assert shuffled[0] == shuffled[1] == "sentence 3" and shuffled[2] in ("sentence 1", "sentence 2")
    queries, there = other_event(test_set, 0)
    assert queries[:2] == ["sentence 2", "sentence 1"] and there == [True, True, False]
