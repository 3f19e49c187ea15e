"""Moments (the answers), the overlap of spans, and non-maximum suppression."""

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
        presence: presence score; see `wsra.runtime.grounding.presence`.
        confidence: probability that the sentence is true of the moment, in [0, 1].
        false_alarms_per_hour: how many moments as good as this an hour of video gives for a sentence that is not true of it.
        track: number of the track in its .feat file, if the moment is the life of a tracked object; else None.
        box: left, top, right, bottom of its best view, as fractions of the picture; or None.
        best_s: time of its best view in presentation seconds; or None.
    """

    video: str
    start_s: float
    end_s: float
    score: float
    presence: float
    confidence: float
    false_alarms_per_hour: float
    track: int | None = None
    box: tuple[float, float, float, float] | None = None
    best_s: float | None = None


def iou(spans: Array, other: Array) -> Array:
    """Intersection over union of spans with one span.

    Args:
        spans: (N, 2) start and end.
        other: (2,).

    Returns:
        (N,) in [0, 1]; 0 if the union is empty.
    """
    inter = np.maximum(0.0, np.minimum(spans[:, 1], other[1]) - np.maximum(spans[:, 0], other[0]))
    union = (spans[:, 1] - spans[:, 0]) + (other[1] - other[0]) - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))


def best_iou(spans: Array, truth: Array) -> Array:
    """IoU (N,) of each span (N, 2) with the true span among (M, 2) that it overlaps most."""
    if len(truth) == 0 or len(spans) == 0:
        return np.zeros(len(spans))
    return reduce(np.maximum, (iou(spans, window) for window in truth))  # two arrays in memory instead of M


def best_first(scores: Array) -> NDArray[np.int64]:
    """Order by score, highest first; ties keep the order of the candidates."""
    return np.argsort(-scores, kind="stable")


def best_of_ladder(
    ladder: Sequence[Rung], scores: Sequence[NDArray[Any]], *, count: int, above: float = -np.inf, limit: float = NMS_IOU
) -> tuple[Array, Array]:
    """Temporal non-maximum suppression: keep the best window, drop what overlaps it by more than `limit`, and so on.

    The windows that overlap a window are its neighbours in every rung, so each window kept costs only a look at these neighbours.

    Args:
        ladder: the rungs.
        scores: scores (n,) for each rung; modified: dropped windows become -inf.
        count: maximum number of windows to keep.
        above: only windows with a higher score are kept.
        limit: IoU above which the lower-scored window is dropped.

    Returns:
        Positions (n, 2) and scores (n,), best first; ties go to the earlier rung and window. Fewer than `count` if no more are left.
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
