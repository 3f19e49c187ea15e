"""Refine presence with labels: what the bundle states holds until labels say otherwise.

Labels alone say nothing about rare events: the footage of 20 labels lasts minutes. So a rate that the bundle states counts like `KNOWN`
false moments in as many hours as give them at that rate, and the labels add theirs. Beyond the table of the bundle, where its rates are
extrapolated, it counts like the hours at the end of the table. This is Bayes' rule for a rate with a gamma distribution before; the rate
falls with the score whatever the labels are. The confidence is fitted to the labels as to captions, and is pulled to what it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsra.calib.presence import PRIOR, check_enough, fit_presence, newton
from wsra.runtime.formats.presence import POINTS, Presence
from wsra.runtime.grounding.presence import false_alarms_per_hour

Array = NDArray[np.float64]

KNOWN = 2.0  # so many moments give a rate within a factor of two: the deviation of its logarithm is 1 / sqrt(2)


def refine_presence(stated: Presence, true: Sequence[float], false: Sequence[float], hours: float) -> Presence:
    """Refine what a bundle states with the scores of labels.

    What is stated of rendered scenes is only a rough guide, and what the labels contradict so much that confidence would have to fall with
    the score is no guide either. Then presence is fitted to the labels alone.

    Args:
        stated: the presence of the bundle.
        true: presence score of the best moment of each label with a span; -inf of a label that no candidate shows.
        false: presence scores of all moments that overlap no span.
        hours: that were searched for these.

    Raises:
        DataError: there are too few scores, or true moments do not score higher.
    """
    shown, wrong = check_enough(true, false), np.sort(np.asarray(false, np.float64))
    slope, intercept = _logit(stated, shown, wrong, true_weight=PRIOR / len(true), false_weight=1 / hours)
    if stated.source == "rendered scenes" or not slope > 0:
        return fit_presence(true, false, hours, source="labels")
    scores, rates = _table(stated, wrong, hours)
    return Presence("labels", float(hours), slope, intercept, scores.tolist(), rates.tolist(), stated.tail)


def _table(stated: Presence, false: Array, hours: float) -> tuple[Array, Array]:
    """At most `POINTS` scores with their refined rates, evenly in the logarithm of the rate.

    Args:
        stated: the presence of the bundle.
        false: scores of false moments, ascending.
        hours: that were searched for them.
    """
    scores = np.union1d(stated.scores, false)
    before = np.array([false_alarms_per_hour(stated, score) for score in scores.tolist()])
    known_h = KNOWN / np.maximum(before, stated.rates[-1])
    reached = len(false) - np.searchsorted(false, scores, "left")
    rates = (reached + before * known_h) / (hours + known_h)
    falls = np.append(rates[:-1] > rates[1:], True)  # of equal rates, below the table of the bundle, the last score stays
    scores, rates = scores[falls], rates[falls]
    chosen = np.unique(np.minimum(np.searchsorted(-rates, -np.geomspace(rates[0], rates[-1], POINTS)), len(rates) - 1))
    return scores[chosen], rates[chosen]


def _logit(stated: Presence, true: Array, false: Array, *, true_weight: float, false_weight: float) -> tuple[float, float]:
    """Slope and intercept of the logit of the confidence, which the logit of the bundle is stretched and shifted to.

    The weights are those of one hour, scaled so that no label counts more than once. The stretch, which was 1, and the shift, which was 0,
    both have a normal prior as narrow as that of the logarithm of a rate.
    """
    logits = stated.slope * np.concatenate([true, false]) + stated.intercept
    weights = np.repeat([true_weight, false_weight], [len(true), len(false)]) / max(true_weight, false_weight)
    inputs = np.stack([logits, np.ones(len(logits))], axis=1)
    target = np.repeat([1.0, 0.0], [len(true), len(false)])
    stretch, shift = newton(inputs, target, weights, towards=np.array([1.0, 0.0]), pull=np.array([KNOWN, KNOWN])).tolist()
    return stretch * stated.slope, stretch * stated.intercept + shift
