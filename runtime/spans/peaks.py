"""Moments as peaks of a sentence's smoothed logits: each extends to where the curve falls below a share of the peak's height.

The base of a snippet is the median of the smoothed logits within 120 s of it, and the height of a peak is counted from its base. The run of
a peak is the contiguous stretch around it of at least four tenths (`SHARE`) of its height. A peak is the highest snippet of its own run,
and not below its base. Peaks are taken best first; one whose run overlaps a moment that is already taken is part of that moment. A moment
depends on nothing beyond its run and 120 s, so a cut elsewhere does not change it. Shapes: T snippets, C candidates, N moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CENTRE = 1.0  # weight of a snippet in its smoothed logit, where each neighbour has 1
SHARE = 0.4  # of the height of a peak over its base, down to which its moment extends
NEAR_S = 120.0  # the base is the median within so many seconds
_EDGE_S = 1e-6  # clocks of joined files round
_FIRST, _GROWTH = 64, 8  # candidates sorted at first, and the factor of later batches


def smoothed(logits: NDArray[np.floating], edges: NDArray[np.int64], *, centre: float = CENTRE) -> Array:
    """Smooth logits over three snippets; at the end of a stretch the snippet itself stands for the missing neighbour.

    Args:
        logits: (T,) of one sentence.
        edges: ascending numbers of snippets from 0 to T, between which the stretches lie; nothing is smoothed across an edge.
        centre: weight of the snippet itself, where each of the two neighbours has 1.

    Returns:
        (T,) float64.
    """
    values = logits.astype(np.float64)
    before, after = np.empty_like(values), np.empty_like(values)
    before[1:], after[:-1] = values[:-1], values[1:]
    firsts, lasts = edges[:-1], edges[1:] - 1
    before[firsts], after[lasts] = values[firsts], values[lasts]
    return np.asarray((centre * values + before + after) / (centre + 2))


def peak_spans(
    logits: NDArray[np.floating],
    times_s: Array,
    edges: NDArray[np.int64],
    *,
    count: int,
    centre: float = CENTRE,
    share: float = SHARE,
) -> tuple[Array, Array]:
    """The best moments of one sentence, whatever the height of their peaks; in each stretch the highest snippet is one.

    Args:
        logits: (T,) finite logits of one sentence.
        times_s: (T, 2) start and end of each snippet in seconds, ascending.
        edges: numbers of snippets from 0 to T, between which the stretches without a gap lie; no moment crosses an edge.
        count: how many moments at most.
        centre: weight of a snippet in its smoothed logit, where each neighbour has 1.
        share: of a peak's height over its base, down to which its moment extends, in [0, 1].

    Returns:
        Positions (N, 2), disjoint, and the smoothed logits (N,) of their peaks, best first; ties keep the order of time.
    """
    curve, starts_s = smoothed(logits, edges, centre=centre), times_s[:, 0]
    heights = cast("memoryview[float]", curve.data)  # of single elements, it is faster than the array
    covered = np.zeros(len(curve), bool)
    found: list[tuple[int, int, float]] = []
    for peak in _best_first(curve, _tops(curve, edges)):
        if len(found) == count:
            break
        if covered[peak]:
            continue
        stretch = int(np.searchsorted(edges, peak, "right"))
        within = int(edges[stretch - 1]), int(edges[stretch])
        span = _run(heights, peak, _base(curve, starts_s, peak, within), share, within)
        if span is None or covered[span[0]] or covered[span[1] - 1]:
            continue
        covered[span[0] : span[1]] = True
        found.append((*span, heights[peak]))
    spans = np.array(found, np.float64).reshape(-1, 3)
    return spans[:, :2], spans[:, 2]


def _tops(curve: Array, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C,) snippets that are above the one before and not below the one after in their stretch; every peak is one of them."""
    rises, falls = np.ones(len(curve), bool), np.ones(len(curve), bool)
    np.greater(curve[1:], curve[:-1], out=rises[1:])
    np.greater_equal(curve[:-1], curve[1:], out=falls[:-1])
    rises[edges[:-1]] = True
    falls[edges[1:] - 1] = True
    return np.flatnonzero(rises & falls)


def _best_first(curve: Array, candidates: NDArray[np.int64]) -> Iterator[int]:
    """The candidates, the highest first; sorted in growing batches, since few are asked for."""
    values, size = curve[candidates], _FIRST
    while len(values) > size:
        least = np.partition(values, len(values) - size)[len(values) - size]
        best = values >= least
        yield from _sorted(candidates[best], values[best])
        candidates, values, size = candidates[~best], values[~best], size * _GROWTH
    yield from _sorted(candidates, values)


def _sorted(candidates: NDArray[np.int64], values: Array) -> list[int]:
    return [int(one) for one in candidates[np.argsort(-values, kind="stable")]]


def _base(curve: Array, starts_s: Array, peak: int, within: tuple[int, int]) -> float:
    """The median of the snippets of the stretch that start within 120 s of the start of the peak."""
    at_s, reach_s = starts_s[peak], NEAR_S + _EDGE_S
    first, last = np.searchsorted(starts_s[within[0] : within[1]], [at_s - reach_s, at_s + reach_s]) + within[0]
    near = np.sort(curve[first:last])
    return float((near[(len(near) - 1) // 2] + near[len(near) // 2]) / 2)


def _run(heights: memoryview[float], peak: int, base: float, share: float, within: tuple[int, int]) -> tuple[int, int] | None:
    """First snippet of the run around a peak, and the one after its last; None if the peak is below its base or not the highest."""
    top = heights[peak]
    if top < base:
        return None
    least = share * (top - base)
    start, end = peak, peak + 1
    while start > within[0] and heights[start - 1] - base >= least:
        start -= 1
        if heights[start] >= top:
            return None
    while end < within[1] and heights[end] - base >= least:
        if heights[end] > top:
            return None
        end += 1
    return start, end
