"""How good answers are: recall at n and IoU, mean IoU, and what chance and a fixed window reach.

The rules are those of the Charades-STA protocol in seconds: float64, `>=`, no rounding; of several true spans the best one counts.
Predictions that sit exactly on a threshold exist, and rounding would put them on either side: an IoU less than 1e-9 below it reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.moments import best_iou

Array = NDArray[np.float64]
ON_THRESHOLD = 1e-9


@dataclass(frozen=True)
class Figures:
    """Figures over a set of queries, in percent.

    Attributes:
        queries: how many.
        r1_iou30, r1_iou50, r1_iou70: share whose first answer reaches the IoU.
        r5_iou50: share with one of the first five at 0.5.
        miou: mean IoU of the first answer; no answer counts 0.
    """

    queries: int
    r1_iou30: float
    r1_iou50: float
    r1_iou70: float
    r5_iou50: float
    miou: float


def figures(answers: Sequence[Array], truths: Sequence[Array]) -> Figures:
    """Score answers.

    Args:
        answers: per query (n, 2) seconds, best first; may be empty.
        truths: per query (M, 2) seconds.
    """
    first = np.array([max(best_iou(a[:1], t), default=0.0) for a, t in zip(answers, truths, strict=True)])
    five = np.array([max(best_iou(a[:5], t), default=0.0) for a, t in zip(answers, truths, strict=True)])
    return _percent(len(truths), [_share(first, level) for level in (0.3, 0.5, 0.7)], _share(five, 0.5), first.mean())


def chance(plans: Sequence[Array], truths: Sequence[Array]) -> Figures:
    """Exact expectation of a random ranking of a plan's windows.

    Args:
        plans: per query (N, 2) seconds.
        truths: per query (M, 2) seconds.
    """
    hits: dict[float, list[float]] = {0.3: [], 0.5: [], 0.7: []}
    five, means = [], []
    for plan, truth in zip(plans, truths, strict=True):
        overlaps = best_iou(plan, truth)
        for level, shares in hits.items():
            shares.append(float(_share(overlaps, level)))
        good, count, draws = int((overlaps >= 0.5 - ON_THRESHOLD).sum()), len(plan), min(5, len(plan))
        five.append(1 - comb(count - good, draws) / comb(count, draws))
        means.append(float(overlaps.mean()))
    return _percent(len(truths), [np.mean(shares) for shares in hits.values()], np.mean(five), np.mean(means))


def fixed_window(truths: Sequence[Array], durations_s: Sequence[float], *, step: float = 0.02) -> tuple[float, float]:
    """The one window, as shares of the video, that has the highest R@1 at IoU 0.5 on the given spans."""
    edges = np.arange(0, 1 + step / 2, step)
    candidates = np.array([(start, end) for start in edges for end in edges if end > start])
    hits = sum(
        (best_iou(candidates * length, truth) >= 0.5 - ON_THRESHOLD).astype(float)
        for truth, length in zip(truths, durations_s, strict=True)
    )
    start, end = candidates[int(np.argmax(hits))]
    return float(start), float(end)


def _share(overlaps: Array, level: float) -> np.floating:
    return np.mean(overlaps >= level - ON_THRESHOLD)


def _percent(queries: int, recalls: Sequence[np.floating], five: np.floating, mean: np.floating) -> Figures:
    return Figures(queries, *(round(100 * float(share), 3) for share in (*recalls, five, mean)))
