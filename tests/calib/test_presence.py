"""Presence: the table is the rate of false moments, the confidence is the probability it claims to be, and both can be refused."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from wsra.calib.presence import fit_presence
from wsra.runtime.errors import DataError
from wsra.runtime.formats.presence import check_presence
from wsra.runtime.grounding.presence import SpanPresence, confidence, false_alarms_per_hour, least_score

RNG = np.random.default_rng(0)
HOURS = 50.0
FALSE, TRUE = RNG.normal(0.0, 1.0, 5000), RNG.normal(4.0, 1.0, 400)


def test_rates_are_those_of_the_data_and_limits_their_inverse() -> None:
    presence = fit_presence(TRUE.tolist(), FALSE.tolist(), HOURS, source="captions")
    check_presence(presence)
    for score in (-1.0, 0.0, 1.0, 2.0):
        assert false_alarms_per_hour(presence, score) == pytest.approx((score <= FALSE).sum() / HOURS, rel=0.15)
    for limit in (0.01, 0.5, 7.0):
        assert false_alarms_per_hour(presence, least_score(presence, 1.0, limit)) == pytest.approx(limit)
    assert confidence(presence, least_score(presence, 9.0, None), 9.0) == pytest.approx(0.5)
    assert least_score(presence, 1.0, inf) == -inf


def test_confidence_rises_and_false_alarms_fall_with_every_score_also_beyond_the_table() -> None:
    presence = fit_presence(TRUE.tolist(), FALSE.tolist(), HOURS, source="captions")
    scores = np.sort(np.concatenate([np.linspace(presence.scores[0], presence.scores[-1] + 20, 500), presence.scores]))
    rates = [false_alarms_per_hour(presence, score) for score in scores]
    confidences = [confidence(presence, score, 3.0) for score in scores]
    assert (np.diff(rates) <= 0).all() and (np.diff(confidences) >= 0).all()
    assert len(set(rates)) == len(set(scores)) and rates[-1] < 1e-6  # strictly: nothing saturates
    assert false_alarms_per_hour(presence, -1e9) == pytest.approx(presence.rates[0])
    assert [confidence(presence, 3.0, hours) for hours in (0.1, 1.0, 1e4)] == sorted(
        (confidence(presence, 3.0, hours) for hours in (0.1, 1.0, 1e4)), reverse=True
    )


def test_a_confidence_is_the_probability_of_bayes_rule() -> None:
    """Of many draws, for only those beyond a score of 3, one in 700, decide about the slope."""
    true, false, hours = RNG.normal(4.0, 1.0, 4000), RNG.normal(0.0, 1.0, 200_000), 2000.0
    presence = fit_presence(true.tolist(), false.tolist(), hours, source="captions")
    for score in (1.5, 2.0, 3.0, 4.0):
        likely, unlikely = (np.exp(-0.5 * (score - mean) ** 2) for mean in (4.0, 0.0))
        assert confidence(presence, score, 1.0) == pytest.approx(0.5 * likely / (0.5 * likely + len(false) / hours * unlikely), abs=0.02)


def test_scores_that_separate_entirely_have_a_finite_slope() -> None:
    presence = fit_presence((TRUE + 100).tolist(), FALSE.tolist(), HOURS, source="captions")
    check_presence(presence)
    assert np.isfinite([presence.slope, presence.intercept]).all()
    assert confidence(presence, 104.0, 1.0) > 0.99 and confidence(presence, 4.0, 1.0) < 0.01


def test_what_separates_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="does not discriminate"):
        fit_presence((-TRUE).tolist(), FALSE.tolist(), HOURS, source="captions")
    flat = fit_presence((-TRUE).tolist(), FALSE.tolist(), HOURS, source="rendered scenes")  # nothing was trained: all are alike
    check_presence(flat)
    alike = [confidence(flat, score, 1.0) for score in (-8.0, 0.0, 8.0)]
    assert alike == sorted(alike) and alike == pytest.approx([0.5 / (0.5 + len(FALSE) / HOURS)] * 3, rel=0.02)
    with pytest.raises(DataError, match="8 of each are needed"):
        fit_presence([1.0] * 7 + [-inf] * 50, FALSE.tolist(), HOURS, source="captions")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": 0.0}, "presence.slope is 0.0; expected a number above 0"),
        ({"scores": [0.0]}, "has 1 scores"),
        ({"scores": [1.0, 0.0]}, "do not ascend"),
        ({"rates": [1.0, 0.0]}, "do not descend to a number above 0"),
    ],
)
def test_strangers_values_are_refused(change: dict[str, object], message: str) -> None:
    good = replace(fit_presence(TRUE.tolist(), FALSE.tolist(), HOURS, source="captions"), scores=[0.0, 1.0], rates=[2.0, 1.0])
    check_presence(good)
    with pytest.raises(ValueError, match=message):
        check_presence(replace(good, **change))


def test_the_peak_of_a_span_is_its_highest_mean_of_two_seconds() -> None:
    excess = RNG.normal(size=40)
    positions = np.array([[30.0, 40.0], [0.0, 1.0], [3.0, 9.0], [38.0, 40.0]])
    for snippet_s, length in ((1.0, 2), (0.5, 4), (5.0, 1)):
        expected = []
        for start, end in positions.astype(int):
            size = min(length, end - start)
            expected.append(max(excess[at : at + size].mean() for at in range(start, end - size + 1)))
        np.testing.assert_allclose(SpanPresence(excess, snippet_s).scores(positions), expected)
