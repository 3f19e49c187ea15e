"""Presence: whether a sentence is true of a moment at all, apart from where the moment begins and ends.

The presence score of a moment is its peak less `SHARE` of the level of the sentence. The peak is the score of a life, or the highest mean
logit of `PEAK_S` seconds within a span of snippets. The level is the `QUANTILE` of the sentence's logits over the reference keys of the
bundle: what any video gives for it. A bundle's `Presence` turns the score into false alarms per hour and into a confidence.

Shapes: T snippets, n spans, N reference keys, Q sentences.
"""

from __future__ import annotations

from functools import cached_property
from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.presence import KEYS, REFERENCE, Presence
from wsra.runtime.kernels.protocol import Keys

Array = NDArray[np.float64]

SHARE, QUANTILE = 0.5, 0.5  # both chosen on validation clips: docs/measurements/presence.md
PEAK_S = 2.0  # length of the peak of a span of snippets
FOUND = 0.5  # the confidence above which a moment is found
_MOST_KEYS = 1 << 16


def read_reference(bundle: Bundle) -> Keys:
    """The reference keys (N, H) of a bundle, float16 or float32.

    Raises:
        BundleError: the file does not hold them.
    """
    path, width = bundle.folder / REFERENCE, bundle.manifest.key_width
    try:
        keys = load_file(path)[KEYS]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as err:
        raise BundleError(f"{path}: does not hold reference keys ({err}); export the bundle again") from err
    if keys.dtype not in (np.float16, np.float32) or keys.ndim != 2 or keys.shape[1] != width or not 1 <= len(keys) <= _MOST_KEYS:
        raise BundleError(
            f"{path}: holds {keys.dtype} {keys.shape}, expected float16 (1 to {_MOST_KEYS}, {width}); export the bundle again"
        )
    if not np.isfinite(keys).all():
        raise BundleError(f"{path}: holds keys that are NaN or infinite; export the bundle again")
    return keys


def levels(logits: NDArray[np.float32]) -> Array:
    """The level (Q,) of each sentence from its logits (Q, N) over the reference keys."""
    return np.asarray(np.quantile(logits.astype(np.float64), QUANTILE, axis=1))


class SpanPresence:
    """Presence scores of spans of snippets for one sentence.

    Args (constructor):
        excess: (T,) logit of each snippet less `SHARE` of the sentence's level.
        snippet_s: length of a snippet in seconds.
    """

    def __init__(self, excess: Array, snippet_s: float) -> None:
        self._excess, self._length = excess, max(1, round(PEAK_S / snippet_s))

    @cached_property
    def highest(self) -> float:
        """No span has a higher presence score."""
        return float(self._excess.max())

    def scores(self, positions: Array) -> Array:
        """The presence score of each span, the highest mean of `PEAK_S` of consecutive snippets in it; of a shorter span its mean.

        Args:
            positions: (n, 2) starts and ends on the axis of snippets; of a snippet that is covered in part, the nearer edge counts.

        Returns:
            (n,); a mean depends on its own snippets alone, so that cutting a recording changes no score.
        """
        starts = np.minimum(np.round(positions[:, 0]).astype(np.int64), len(self._excess) - 1)
        counts = np.maximum(np.round(positions[:, 1]).astype(np.int64), starts + 1) - starts
        scores = np.empty(len(positions))
        lengths = np.minimum(counts, self._length)
        for length in np.unique(lengths).tolist():
            chosen = np.flatnonzero(lengths == length)
            scores[chosen] = _highest(self._means(length), starts[chosen], counts[chosen] - length + 1)
        return scores

    def _means(self, length: int) -> Array:
        """Means (T - length + 1,) of consecutive snippets; not by running sums, which would depend on what came before."""
        count = len(self._excess) - length + 1
        sums = self._excess[:count].copy()
        for later in range(1, length):
            sums += self._excess[later : later + count]
        return np.asarray(sums / length)


def _highest(values: Array, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """The highest of `counts` values from each start on; in order of the starts, for `reduceat` also reads what lies between them."""
    order = np.argsort(starts, kind="stable")
    edges = np.stack([starts[order], starts[order] + counts[order]], axis=1).reshape(-1)
    highest = np.empty(len(starts))
    highest[order] = np.maximum.reduceat(np.append(values, -inf), edges)[::2]
    return highest


def false_alarms_per_hour(presence: Presence, score: float) -> float:
    """How many moments of this presence score or more an hour of video gives for a sentence that is not true of it."""
    beyond = max(0.0, score - presence.scores[-1])
    return exp(float(np.interp(score, presence.scores, np.log(presence.rates))) - presence.tail * beyond)


def confidence(presence: Presence, score: float, hours: float) -> float:
    """The probability that a sentence is true of a moment of this presence score.

    It holds if the event happens once in what was asked with probability 1/2, and false moments come at random.

    Args:
        presence: of the bundle.
        score: of the moment.
        hours: of video that were asked.
    """
    logit = presence.slope * score + presence.intercept - log(hours)
    return 1 / (1 + exp(-logit)) if logit > 0 else exp(logit) / (1 + exp(logit))


def least_score(presence: Presence, hours: float, false_alarms: float | None) -> float:
    """The presence score above which a moment is found.

    Args:
        presence: of the bundle.
        hours: of video that were asked.
        false_alarms: per hour that are accepted; infinity accepts every candidate, and None asks for a confidence above `FOUND`.
    """
    if false_alarms is None:
        return (log(FOUND / (1 - FOUND)) + log(hours) - presence.intercept) / presence.slope
    if false_alarms >= presence.rates[0]:
        return -inf
    if false_alarms < presence.rates[-1]:
        return presence.scores[-1] + log(presence.rates[-1] / false_alarms) / presence.tail
    return float(np.interp(-log(false_alarms), -np.log(presence.rates), presence.scores))
