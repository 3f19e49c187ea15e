"""Presence refined with labels: a few labels move what the bundle states a little, many decide, and rates fall whatever the labels are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wsra.calib.presence import fit_presence
from wsra.calib.refinement import refine_presence
from wsra.runtime.errors import DataError
from wsra.runtime.formats.presence import POINTS, Presence, check_presence
from wsra.runtime.grounding.presence import confidence, false_alarms_per_hour

pytestmark = pytest.mark.device

RATE = 100.0  # false moments an hour, of normal scores
SHIFT = 0.5  # of the scores of the false moments where the labels are from


def moments(hours: float, true: int, seed: int, *, shift: float = 0.0) -> tuple[list[float], list[float], float]:
    rng = np.random.default_rng(seed)
    return rng.normal(4.0, 1.0, true).tolist(), rng.normal(shift, 1.0, round(RATE * hours)).tolist(), hours


@pytest.fixture(scope="module")
def stated() -> Presence:
    return fit_presence(*moments(50.0, 400, 0), source="captions")


def expected(score: float) -> float:
    """False alarms an hour where the labels are from."""
    return float((np.random.default_rng(9).normal(SHIFT, 1.0, 1_000_000) >= score).mean() * RATE)


def test_many_labels_decide(stated: Presence) -> None:
    true, false, hours = moments(500.0, 4000, 1, shift=SHIFT)
    refined, alone = refine_presence(stated, true, false, hours), fit_presence(true, false, hours, source="labels")
    check_presence(refined)
    assert (refined.source, refined.hours) == ("labels", hours)
    for score in (0.0, 1.0, 2.0, 3.0):
        assert false_alarms_per_hour(refined, score) == pytest.approx(expected(score), rel=0.1)
        assert false_alarms_per_hour(stated, score) < 0.75 * expected(score)
    for score in (2.0, 3.0, 4.0):
        assert confidence(refined, score, 1.0) == pytest.approx(confidence(alone, score, 1.0), abs=0.01)


def test_few_labels_leave_rare_rates_where_they_were_and_move_frequent_ones(stated: Presence) -> None:
    """Six minutes of video cannot say what comes once in hours."""
    draws = [moments(0.1, 10, seed, shift=SHIFT) for seed in range(40)]
    refined = [refine_presence(stated, *labels) for labels in draws]
    for presence in refined:
        check_presence(presence)
    for score in (-1.0, 1.0, 2.0, 3.0, 5.0):
        before, mean = false_alarms_per_hour(stated, score), np.mean([false_alarms_per_hour(presence, score) for presence in refined])
        assert before < mean < 1.1 * expected(score) or mean == pytest.approx(before, rel=0.1)
    frequent, rare = ([false_alarms_per_hour(presence, score) for presence in refined] for score in (-0.5, 4.5))
    assert np.mean(frequent) > 1.1 * false_alarms_per_hour(stated, -0.5)
    assert np.mean(rare) == pytest.approx(false_alarms_per_hour(stated, 4.5), rel=0.1)
    assert max(abs(presence.slope / stated.slope - 1) for presence in refined) < 0.5


@pytest.mark.parametrize("false", [[0.0] * 30, [9.0, 8.0] * 20, [-50.0] * 8, np.linspace(-60.0, 12.0, 5000).tolist()])
def test_rates_fall_and_confidences_rise_whatever_the_labels_are(stated: Presence, false: list[float]) -> None:
    refined = refine_presence(stated, [14.0] * 20, false, 0.3)
    check_presence(refined)
    assert len(refined.scores) <= POINTS
    scores = np.sort(np.concatenate([np.linspace(-70, 40, 500), refined.scores, false]))
    assert (np.diff([false_alarms_per_hour(refined, score) for score in scores]) <= 0).all()
    assert (np.diff([confidence(refined, score, 2.0) for score in scores]) >= 0).all()


def test_a_false_moment_beyond_the_stated_table_counts(stated: Presence) -> None:
    """The rates there are extrapolated, so two moments in ten hours outweigh them."""
    true, false, hours = moments(10.0, 100, 3)
    refined = refine_presence(stated, true, [*false, 7.0, 7.5], hours)
    assert false_alarms_per_hour(stated, 7.0) < 0.001
    assert false_alarms_per_hour(refined, 7.0) == pytest.approx(2 / hours, rel=0.75)


def test_labels_twice_are_not_worse_than_once(stated: Presence) -> None:
    true, false, hours = moments(2.0, 50, 4, shift=SHIFT)
    once = refine_presence(stated, true, false, hours)
    twice = refine_presence(once, true, false, hours)
    for score in (0.0, 1.0, 2.0):
        counted = sum(one >= score for one in false) / hours
        ends = sorted((false_alarms_per_hour(once, score), counted))
        assert ends[0] * 0.95 <= false_alarms_per_hour(twice, score) <= ends[1] * 1.05
    before = false_alarms_per_hour(stated, 5.0)
    assert 0.4 * before < false_alarms_per_hour(twice, 5.0) < 2.5 * before


def test_rendered_scenes_are_not_kept(stated: Presence) -> None:
    labels = moments(1.0, 20, 5, shift=SHIFT)
    assert refine_presence(replace(stated, source="rendered scenes"), *labels) == fit_presence(*labels, source="labels")


def test_what_cannot_be_refined_is_refused(stated: Presence) -> None:
    true, false, hours = moments(100.0, 4000, 6)
    with pytest.raises(DataError, match="8 of each are needed"):
        refine_presence(stated, true[:7], false, hours)
    with pytest.raises(DataError, match="does not discriminate"):
        refine_presence(stated, [-score for score in true], [8 - score for score in false], hours)
