"""Mean average precision of moments, as the field's evaluators of several true spans per query compute it.

Per query: the first ten answers by score; each takes the free true span that it overlaps best, if the IoU is reached; precision is
interpolated (the highest at this or any higher recall) and summed over the steps of recall. Over queries the mean is taken, over IoU 0.5,
0.55, ..., 0.95 the mean of the means. Checked against figures of lighthouse's evaluator in tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.evaluation.metrics import ON_THRESHOLD, hit_counts, miss_chance
from wsra.runtime.spans.moments import iou

Array = NDArray[np.float64]
LEVELS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST = 10


def map_scores(answers: Sequence[Array], truths: Sequence[Array]) -> dict[str, Array]:
    """Average precision per query.

    Args:
        answers: per query (n, 2) seconds, best first; the first ten count.
        truths: per query (M, 2) seconds, M > 0.

    Returns:
        (Q,) values in [0, 1] of `map_iou50` to `map_iou95`, and of `map`, their mean.
    """
    overlaps = [ious(a[:MOST], t) for a, t in zip(answers, truths, strict=True)]
    found = {_name(level): np.array([average_precision(each, level) for each in overlaps]) for level in LEVELS}
    return {"map": np.mean(list(found.values()), axis=0), **found}


def ious(answers: Array, truth: Array) -> Array:
    """IoU (n, M) of answers (n, 2) with true spans (M, 2)."""
    return np.stack([iou(answers, span) for span in truth], axis=1)


def average_precision(overlaps: Array, level: float) -> float:
    """Interpolated average precision of one query.

    Args:
        overlaps: (n, M) IoU of the answers, best first, with M > 0 true spans.
        level: IoU to reach.
    """
    left = overlaps.copy()
    hits = np.zeros(len(left))
    for place, row in enumerate(left):
        best = int(np.argmax(row))
        if row[best] >= level - ON_THRESHOLD:
            left[place + 1 :, best] = -1.0
            hits[place] = 1.0
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((hits * highest).sum() / overlaps.shape[1])


def map_chance_scores(plans: Iterable[Array], truths: Sequence[Array]) -> dict[str, Array] | None:
    """Exact expectation for a random ranking of a plan's windows; none where a query has several true spans, which are not independent.

    With one true span the average precision is 1 / r, where r is the rank of the first hit among the first ten.

    Args:
        plans: per query (N, 2) seconds.
        truths: per query (M, 2) seconds.
    """
    if any(len(truth) != 1 for truth in truths):
        return None
    windows = hit_counts(plans, truths, LEVELS)
    found = {}
    for level in LEVELS:
        misses = [miss_chance(windows.counts, windows.hits[level], draws) for draws in range(MOST + 1)]
        found[_name(level)] = np.sum([(misses[rank - 1] - misses[rank]) / rank for rank in range(1, MOST + 1)], axis=0)
    return {"map": np.mean(list(found.values()), axis=0), **found}


def _name(level: float) -> str:
    return f"map_iou{round(100 * level)}"
