"""Answers: moments, how much two spans overlap, and which of many overlapping ones to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """

    video: str
    start_s: float
    end_s: float
    score: float


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
    return np.asarray(np.max([iou(spans, window) for window in truth], axis=0))


def best_first(scores: Array) -> NDArray[np.int64]:
    """Order by score, highest first; ties keep the order of the candidates."""
    return np.argsort(-scores, kind="stable")


def suppress(spans: Array, scores: Array, *, count: int, limit: float = NMS_IOU) -> list[int]:
    """Temporal non-maximum suppression: keep the best, drop what overlaps it by more than `limit`, and so on.

    Args:
        spans: (N, 2).
        scores: (N,).
        count: how many to keep at most.
        limit: IoU above which the lower-scored span is dropped.

    Returns:
        Indices of the kept spans, best first; fewer than `count` when no more are left.
    """
    order = best_first(scores)
    kept: list[int] = []
    while len(order) and len(kept) < count:
        best = int(order[0])
        kept.append(best)
        order = order[1:][iou(spans[order[1:]], spans[best]) <= limit]
    return kept
