"""Answers: moments, how much two spans overlap, and which of many overlapping ones to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.windows import Rung

Array = NDArray[np.float64]
NMS_IOU = 0.5


@dataclass(frozen=True)
class Moment:
    """One answer.

    Attributes:
        video: name of the video.
        start_s: start in presentation seconds.
        end_s: end in presentation seconds.
        score: span score; higher is better, comparable within one bundle and plan.
        track: number of the object in its .feat file, where the moment is the life of one; else None.
        box: left, top, right, bottom of its best view, as shares of the picture; or None.
        best_s: when it is seen best, in presentation seconds; or None.
    """

    video: str
    start_s: float
    end_s: float
    score: float
    track: int | None = None
    box: tuple[float, float, float, float] | None = None
    best_s: float | None = None


def iou(spans: Array, other: Array) -> Array:
    """Intersection over union of spans with one span.

    Args:
        spans: (N, 2) start and end.
        other: (2,).

    Returns:
        (N,) in [0, 1]; 0 where the union is empty.
    """
    inter = np.maximum(0.0, np.minimum(spans[:, 1], other[1]) - np.maximum(spans[:, 0], other[0]))
    union = (spans[:, 1] - spans[:, 0]) + (other[1] - other[0]) - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))


def best_iou(spans: Array, truth: Array) -> Array:
    """IoU of each span (N, 2) with the true span (M, 2) that it overlaps best; (N,)."""
    if len(truth) == 0 or len(spans) == 0:
        return np.zeros(len(spans))
    return reduce(np.maximum, (iou(spans, window) for window in truth))  # two of them in memory, not all


def best_first(scores: Array) -> NDArray[np.int64]:
    """Order by score, highest first; ties keep the order of the candidates."""
    return np.argsort(-scores, kind="stable")


def best_of_ladder(
    ladder: Sequence[Rung], scores: Sequence[NDArray[Any]], *, count: int, above: float = -np.inf, limit: float = NMS_IOU
) -> tuple[Array, Array]:
    """Temporal non-maximum suppression: keep the best window, drop what overlaps it by more than `limit`, and so on.

    What overlaps a window lies beside it in every rung, so each one kept costs a look at its surroundings and at the best of each rung.

    Args:
        ladder: its rungs.
        scores: per rung (n,); used up: what was dropped becomes -inf.
        count: how many to keep at most.
        above: only windows that score more are kept.
        limit: IoU above which the lower-scored window is dropped.

    Returns:
        Positions (n, 2) and scores (n,), best first, of equal ones the earlier rung and window; fewer than `count` when no more are left.
    """
    best = [int(np.argmax(values)) for values in scores]
    kept: list[tuple[float, float, float]] = []
    while len(kept) < count:
        tops = [float(values[at]) for values, at in zip(scores, best, strict=True)]
        chosen = int(np.argmax(tops))
        if not tops[chosen] > above:
            break
        start = float(best[chosen] * ladder[chosen].stride)
        end = start + ladder[chosen].length
        kept.append((start, end, tops[chosen]))
        for number, (length, stride, windows) in enumerate(ladder):
            first, last = max(0, int((start - length) // stride)), min(windows, int(end // stride) + 1)
            starts = np.arange(first, last, dtype=np.float64) * stride
            overlaps = iou(np.stack([starts, starts + length], axis=1), np.array([start, end]))
            scores[number][first:last][overlaps > limit] = -np.inf
            if first <= best[number] < last:
                best[number] = int(np.argmax(scores[number]))
    found = np.array(kept).reshape(-1, 3)
    return found[:, :2], found[:, 2]
