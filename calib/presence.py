"""Fit what presence scores mean: false alarms per hour, and the confidence that a sentence is true of a moment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import DataError
from wsra.runtime.formats.presence import POINTS, Presence, Source

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

PRIOR = 0.5  # probability that the event happens in what was asked
FEWEST = 8  # moments of each kind
_RAREST = 4  # the table ends at the score that so many false moments exceed; the tail continues it
_TAIL = 0.05  # share of the false moments to which the tail is fitted
_SHRINKAGE = 1e-6  # pulls the slope to 0, so that it stays finite where the scores separate entirely
_STEPS = 100
_FLAT = 1e-3  # slope where rendered scenes show none


def fit_presence(true: Sequence[float], false: Sequence[float], hours: float, *, source: Source) -> Presence:
    """Fit the table and the confidence.

    Args:
        true: presence score of the best moment of each event; -inf of an event that no candidate shows.
        false: presence scores of all moments that were found for sentences that are not true of them.
        hours: of video that were searched for these sentences, all sentences together.
        source: where the scores are from.

    Raises:
        DataError: there are too few scores, or true moments do not score higher. On rendered scenes, which nothing was trained on, that is
            only a warning, and all moments get nearly the same confidence.
    """
    shown = check_enough(true, false)
    scores, rates, tail = _table(np.asarray(false, np.float64), hours)
    slope, intercept = _logistic(shown, np.asarray(false, np.float64), true_weight=PRIOR / len(true), false_weight=1 / hours)
    if not slope > 0 and source == "rendered scenes":
        logger.warning("on rendered scenes, true sentences score no higher than others: confidences say little before wsra calibrate")
        slope, intercept = _FLAT, log(PRIOR * len(shown) / len(true) / (len(false) / hours)) - _FLAT * float(shown.mean())
    if not slope > 0:
        raise DataError("moments that a sentence is true of score no higher than others; the scorer does not discriminate: train longer")
    return Presence(source, float(hours), slope, intercept, scores.tolist(), rates.tolist(), tail)


def check_enough(true: Sequence[float], false: Sequence[float]) -> Array:
    """The scores of the true moments that a candidate shows, if there are enough of them and of the false ones.

    Raises:
        DataError: there are too few.
    """
    shown = np.array([score for score in true if score > -np.inf])
    if len(shown) < FEWEST or len(false) < FEWEST:
        raise DataError(
            f"presence cannot be calibrated on {len(shown)} moments that a sentence is true of and {len(false)} that it is not true of;"
            f" {FEWEST} of each are needed: give more sentences and videos"
        )
    return shown


def _table(false: Array, hours: float) -> tuple[Array, Array, float]:
    """At most `POINTS` scores with the rate of moments that reach them, evenly in the logarithm of the rate, and the fall beyond them."""
    falling = np.sort(false)[::-1]
    reached = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) + 1  # of equal scores the last counts all
    ranks = np.geomspace(len(falling), min(_RAREST, len(falling) // 2), POINTS)
    counts = np.unique(reached[np.minimum(np.searchsorted(reached, ranks), len(reached) - 1)])[::-1]
    if len(counts) < 2:
        raise DataError("all moments have one presence score; the scorer does not discriminate: train longer")
    above = falling[: max(int(_TAIL * len(falling)), 2 * _RAREST)]
    excess = float(np.mean(above - above[-1]))  # of an exponential tail, one over the fall
    return falling[counts - 1], counts / hours, 1 / max(excess, 1e-6)


def _logistic(true: Array, false: Array, *, true_weight: float, false_weight: float) -> tuple[float, float]:
    """Slope and intercept of the logit of P(true | score) for one hour of video, by Newton's method.

    Weighted, the true moments are as many as an hour gives if the event happens with `PRIOR`, and the false ones as many as it gives.
    """
    scores = np.concatenate([true, false])
    target = np.repeat([1.0, 0.0], [len(true), len(false)])
    weights = np.repeat([true_weight, false_weight], [len(true), len(false)])
    centre, spread = float(true.mean()), max(float(scores.std()), 1e-9)
    inputs = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)
    coefficients = newton(inputs, target, weights, towards=np.zeros(2), pull=np.array([_SHRINKAGE, 0.0]))
    slope = float(coefficients[0]) / spread
    return slope, float(coefficients[1]) - slope * centre


def newton(inputs: Array, target: Array, weights: Array, *, towards: Array, pull: Array) -> Array:
    """Coefficients (C,) of a weighted logistic regression, by Newton's method.

    Args:
        inputs: (n, C).
        target: (n,) 1 for true and 0 for false.
        weights: (n,) of each.
        towards: (C,) where the coefficients start, and are pulled to.
        pull: (C,) precision of the normal prior there; 0 for none.
    """
    coefficients = towards
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ coefficients, -500, 500)))
        gradient = inputs.T @ (weights * (target - chance)) - pull * (coefficients - towards)
        curvature = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs + np.diag(pull + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return coefficients
