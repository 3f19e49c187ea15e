"""DiDeMo's metric: how a ranking of the 21 moments agrees with several annotators.

A video has up to six segments of 5 s; a moment is [first, last] of them. Per query the annotators' moments are t_1..t_n (n is mostly 4;
two who chose alike count twice), and the ranking holds every moment once:

    rank of a query = mean of the three smallest ranks of t_1..t_n
    R@1, R@5        = share of queries whose rank is at most 1, at most 5
    mIoU            = mean over queries of the mean of the three largest IoUs of the first moment with t_1..t_n

as in `utils/eval.py` of LisaAnne/LocalizingMoments. A hit of R@1 so needs three annotators who chose exactly the first moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.moments import iou
from wsra.runtime.spans.windows import SEGMENT_S, segment_windows

Array = NDArray[np.float64]
Moments = NDArray[np.int64]
MOMENTS: Moments = np.rint(segment_windows() / SEGMENT_S - [0, 1]).astype(np.int64)  # (21, 2) in the official order
AGREEING = 3  # annotators that count
_ENUMERATED = 4  # distinct moments up to which all ranks are enumerated
_SAMPLES = 400_000
_EDGE_S = 1e-6


def moment_numbers(windows_s: Array) -> NDArray[np.int64] | None:
    """Numbers (n,) in the official order of windows (n, 2) in seconds; none if one of them is not of whole segments."""
    segments = windows_s / SEGMENT_S - [0, 1]
    whole = np.rint(segments)
    known = (np.abs(segments - whole) * SEGMENT_S <= _EDGE_S).all(axis=1)
    same = (whole[:, None, :] == MOMENTS[None]).all(axis=2)
    if not (known & same.any(axis=1)).all():
        return None
    return np.asarray(np.argmax(same, axis=1), np.int64)


def moment_ious(truth: NDArray[np.int64]) -> Array:
    """IoU (21, n) of every moment with the annotators' moments, given by their numbers (n,)."""
    windows = MOMENTS + np.array([0, 1])
    return np.stack([iou(windows.astype(float), windows[number].astype(float)) for number in truth], axis=1)


def rank_scores(rankings: Sequence[NDArray[np.int64] | None], truths: Sequence[NDArray[np.int64]]) -> dict[str, Array]:
    """Score rankings, per query.

    Args:
        rankings: per query the numbers of all 21 moments, best first; none where there is no answer, which counts 0.
        truths: per query the numbers of the annotators' moments, three or more.

    Returns:
        (Q,) values in [0, 1] of `r1`, `r5` and `miou`.
    """
    ranks, overlaps = np.full(len(truths), np.inf), np.zeros(len(truths))
    for query, (ranking, truth) in enumerate(zip(rankings, truths, strict=True)):
        if ranking is not None:
            ranks[query] = np.sort(np.argsort(ranking)[truth] + 1)[:AGREEING].mean()
            overlaps[query] = _best_mean(moment_ious(truth))[ranking[0]]
    return {"r1": (ranks <= 1).astype(float), "r5": (ranks <= 5).astype(float), "miou": overlaps}


def chance_scores(truths: Sequence[NDArray[np.int64]], *, last: Sequence[int] | None = None) -> dict[str, Array]:
    """Exact expectation of a random ranking, per query; with more than four distinct moments by 400,000 samples of fixed seed.

    Args:
        truths: per query the numbers of the annotators' moments.
        last: per query the last segment there is, where only moments within the video are ranked; default all 21 are.

    Returns:
        As `rank_scores`.
    """
    found: dict[str, list[float]] = {"r1": [], "r5": [], "miou": []}
    for query, truth in enumerate(truths):
        ranked = np.ones(len(MOMENTS), bool) if last is None else MOMENTS[:, 1] <= last[query]
        votes = tuple(sorted((min(count, AGREEING) for count in Counter(truth.tolist()).values()), reverse=True))  # more change no rank
        first, five = _rank_chance(votes, int(ranked.sum()))
        found["r1"].append(first)
        found["r5"].append(five)
        found["miou"].append(float(_best_mean(moment_ious(truth))[ranked].mean()))
    return {name: np.array(values) for name, values in found.items()}


def frequency_ranking(chosen: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """All 21 moments by how often annotators chose them; ties in the official order."""
    counts = np.bincount(np.concatenate(list(chosen)), minlength=len(MOMENTS))
    return np.argsort(-counts, kind="stable")


def ranking_of_scores(scores: Array, duration_s: float) -> NDArray[np.int64]:
    """Moments by score, ties in the official order; those whose last segment starts after the video ends come last.

    Args:
        scores: (21,) in the official order.
        duration_s: of the video.
    """
    within = MOMENTS[:, 1] * SEGMENT_S < duration_s - _EDGE_S
    return np.lexsort((np.arange(len(MOMENTS)), -scores, ~within))


def _best_mean(ious: Array) -> Array:
    """Mean (21,) of the three largest of IoUs (21, n)."""
    return np.asarray(np.sort(ious, axis=1)[:, -AGREEING:].mean(axis=1))


@lru_cache
def _rank_chance(votes: tuple[int, ...], count: int) -> tuple[float, float]:
    """Chances of R@1 and R@5 for moments with that many votes each, at random among `count` ranks."""
    if len(votes) <= _ENUMERATED:
        ranks = np.array(list(permutations(range(1, count + 1), len(votes))))
    else:
        rng = np.random.default_rng(0)
        ranks = np.argsort(rng.random((_SAMPLES, count)), axis=1)[:, : len(votes)] + 1
    sums = np.sort(np.repeat(ranks, votes, axis=1), axis=1)[:, :AGREEING].sum(axis=1)
    return float((sums <= AGREEING).mean()), float((sums <= 5 * AGREEING).mean())
