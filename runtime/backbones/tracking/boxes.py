"""Boxes as fractions of the picture, and how much of one lies inside another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the picture
Boxes = NDArray[np.float64]  # (N, 4)


def stacked(boxes: Sequence[Box]) -> Boxes:
    """Boxes as an array (N, 4), even if N is 0."""
    return np.array(boxes, np.float64).reshape(-1, 4)


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """(N,) areas as fractions of the picture; never quite 0, so that one can divide by them."""
    return np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1e-9)


def overlaps(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """(N, M) intersection of each of the first with each of the second."""
    least = np.minimum(first[:, None, 2:], second[None, :, 2:])
    most = np.maximum(first[:, None, :2], second[None, :, :2])
    return np.asarray(np.prod(np.maximum(least - most, 0.0), axis=2))


def overlap(first: Box, second: Box) -> float:
    """Intersection of two boxes."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, wide) * max(0.0, high)


def area(box: Box) -> float:
    """Area as a fraction of the picture."""
    return max((box[2] - box[0]) * (box[3] - box[1]), 1e-9)


def centre(box: Box) -> float:
    """Horizontal centre."""
    return (box[0] + box[2]) / 2


def is_cut(box: Box, margin: float) -> bool:
    """Whether the box comes this close to an edge of the picture."""
    return box[0] <= margin or box[1] <= margin or box[2] >= 1 - margin or box[3] >= 1 - margin


def grown(boxes: Boxes, share: float) -> Boxes:
    """Boxes enlarged on every side by a fraction of their own width and height."""
    margin = share * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def clipped(boxes: Boxes) -> Boxes:
    """The parts of boxes inside the picture."""
    return np.clip(boxes, 0.0, 1.0)
