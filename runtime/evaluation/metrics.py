"""How good answers are: recall at n and IoU, mean IoU, and what a random ranking of a plan's windows reaches.

The rules are those of the Charades-STA protocol in seconds: float64, `>=`, no rounding; of several true spans the best one counts; where
there are fewer than n answers, those there are. Predictions that sit exactly on a threshold exist, and the order of float operations would
put them on either side: an IoU less than 1e-9 below it reaches it.

Every figure is the mean over queries of one value in [0, 1]; `scores` and `chance_scores` give these values, (Q,) per figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.moments import best_iou

Array = NDArray[np.float64]
ON_THRESHOLD = 1e-9
RANKS, LEVELS = (1, 5), (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Figures:
    """Figures over a set of queries, in percent.

    Attributes:
        queries: how many.
        r1_iou30, r1_iou50, r1_iou70: share whose first answer reaches the IoU.
        r5_iou30, r5_iou50, r5_iou70: share with one of the first five that does.
        miou: mean IoU of the first answer; no answer counts 0.
    """

    queries: int
    r1_iou30: float
    r1_iou50: float
    r1_iou70: float
    r5_iou30: float
    r5_iou50: float
    r5_iou70: float
    miou: float


def recall_name(rank: int, level: float) -> str:
    """Name of a recall: r5_iou70 for one of the first five at 0.7."""
    return f"r{rank}_iou{round(100 * level)}"


def scores(
    answers: Sequence[Array], truths: Sequence[Array], *, ranks: Sequence[int] = RANKS, levels: Sequence[float] = LEVELS
) -> dict[str, Array]:
    """Score answers, per query.

    Args:
        answers: per query (n, 2) seconds, best first; may be empty.
        truths: per query (M, 2) seconds.
        ranks: how many of the first answers may hold the hit.
        levels: IoU to reach.

    Returns:
        (Q,) values of `r1_iou30` and so on, and of `miou`.
    """
    overlaps = [best_iou(a[: max(ranks)], t) for a, t in zip(answers, truths, strict=True)]
    best = {rank: np.array([found[:rank].max(initial=0.0) for found in overlaps]) for rank in {1, *ranks}}
    recalls = {recall_name(rank, level): (best[rank] >= level - ON_THRESHOLD).astype(float) for rank in ranks for level in levels}
    return {**recalls, "miou": best[1]}


def chance_scores(
    plans: Iterable[Array], truths: Sequence[Array], *, ranks: Sequence[int] = RANKS, levels: Sequence[float] = LEVELS
) -> dict[str, Array]:
    """Exact expectation of a random ranking of a plan's windows, per query.

    Of N windows of which h reach the IoU, n distinct ones hold a hit with 1 - C(N - h, n) / C(N, n). Where there is no window, none does.

    Args:
        plans: per query (N, 2) seconds.
        truths: per query (M, 2) seconds.
        ranks: how many of the first windows may hold the hit.
        levels: IoU to reach.

    Returns:
        As `scores`.
    """
    windows = hit_counts(plans, truths, levels)
    recalls = {recall_name(rank, level): 1 - miss_chance(windows.counts, windows.hits[level], rank) for level in levels for rank in ranks}
    return {**recalls, "miou": windows.mean_ious}


@dataclass(frozen=True)
class HitCounts:
    """Windows of each query's plan: `counts` (Q,), how many reach an IoU `hits[level]` (Q,), and their mean IoU `mean_ious` (Q,)."""

    counts: NDArray[np.int64]
    hits: dict[float, NDArray[np.int64]]
    mean_ious: Array


def hit_counts(plans: Iterable[Array], truths: Sequence[Array], levels: Sequence[float]) -> HitCounts:
    """Count the windows of each query's plan that reach each IoU; one query's overlaps are held at a time."""
    counts, means = np.zeros(len(truths), np.int64), np.zeros(len(truths))
    hits = {level: np.zeros(len(truths), np.int64) for level in levels}
    for query, (plan, truth) in enumerate(zip(plans, truths, strict=True)):
        overlaps = best_iou(plan, truth)
        counts[query], means[query] = len(overlaps), overlaps.mean() if len(overlaps) else 0.0
        for level in levels:
            hits[level][query] = (overlaps >= level - ON_THRESHOLD).sum()
    return HitCounts(counts, hits, means)


def miss_chance(counts: NDArray[np.int64], hits: NDArray[np.int64], draws: int) -> Array:
    """Probability that none of `draws` distinct windows is a hit.

    Args:
        counts: (Q,) windows, N.
        hits: (Q,) of them that reach the IoU, h.
        draws: windows drawn; all where there are fewer.
    """
    miss = np.ones(len(counts))
    for drawn in range(draws):
        left = counts - drawn
        miss *= np.where(left > 0, np.maximum(left - hits, 0) / np.maximum(left, 1), 1.0)
    return miss


def percent(values: Mapping[str, Array]) -> dict[str, float]:
    """Means over queries, in percent with three decimals."""
    return {name: round(100 * float(each.mean()), 3) for name, each in values.items()}


def figures(answers: Sequence[Array], truths: Sequence[Array]) -> Figures:
    """Figures of answers, as in `scores`."""
    return Figures(len(truths), **percent(scores(answers, truths)))


def chance(plans: Iterable[Array], truths: Sequence[Array]) -> Figures:
    """Figures of a random ranking, as in `chance_scores`."""
    return Figures(len(truths), **percent(chance_scores(plans, truths)))
