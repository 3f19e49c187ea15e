"""The numbers of one object over one second, from its descriptions in the frames of that second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.blobs import PARTS, SILHOUETTE_COLUMNS, SILHOUETTE_ROWS, Blob
from wsra.runtime.backbones.tracking.colours import COLOURS

Seen = tuple[float, Blob]  # time in seconds, and the observation

SHORTEST_S = 0.25  # minimum time for measuring a speed
STILL = 0.1  # own heights per second
MOST_STRIDE = 4.0

# Means over its frames unless stated otherwise; positions and sizes are fractions of the frame.
NAMES: tuple[str, ...] = (
    "presence",  # fraction of the second's frames in which it is seen
    "x",  # of its centre
    "foot",  # its lowest row
    "width",
    "height",
    "log aspect",  # ln(width / height) in pixels, halved
    "root area",  # square root of its share of the frame
    "cut",  # share of its frames in which the left or right edge cuts it
    "cut top",
    "cut bottom",
    "fill",  # share of its box that it fills
    "rightward",  # frame widths per second, 0 when it moves left
    "leftward",
    "toward",  # how fast its foot moves down, frame heights per second, 0 when it moves up
    "away",
    "stride",  # speed in own heights per second
    "still",  # 1 when it moves less than 0.1 own heights per second
    "growth",  # of its height: change of the logarithm per second, from -1 to 1
    *(f"silhouette {row}.{column}" for row in range(SILHOUETTE_ROWS) for column in range(SILHOUETTE_COLUMNS)),
    *(f"{part} {number}" for part in PARTS for number in (*COLOURS, "lightness", "green to red", "blue to yellow")),
)
WIDTH = len(NAMES)


def numbers(seen: Sequence[Seen], before: Seen | None, frames: int) -> NDArray[np.float32]:
    """Describe one object over one second.

    Args:
        seen: its observations in this second, at least one, in chronological order.
        before: the last earlier observation, from which speeds are measured; None for a new object.
        frames: number of frames in this second.

    Returns:
        (186,) float32, see `NAMES`; with a detector, followed by the means of its labels.
    """
    blobs = [blob for _, blob in seen]
    means = np.mean([_of_one(blob) for blob in blobs], axis=0)
    motion = _motion(before or seen[0], seen[-1], height=float(means[3]))
    silhouette = np.mean([blob.silhouette for blob in blobs], axis=0)
    parts = np.mean([blob.parts for blob in blobs], axis=0).reshape(-1)
    presence = min(1.0, len(blobs) / max(frames, 1))
    label = np.mean([blob.label for blob in blobs], axis=0)
    return np.concatenate([(presence, *means, *motion), silhouette, parts, label]).astype(np.float32)


def _of_one(blob: Blob) -> tuple[float, ...]:
    """The numbers of one frame from "x" to "fill"."""
    shape = float(np.log(blob.aspect)) / 2, float(np.sqrt(blob.area))
    return blob.x, blob.foot, blob.width, blob.height, *shape, blob.cut, blob.cut_top, blob.cut_bottom, blob.fill


def _motion(start: Seen, end: Seen, *, height: float) -> tuple[float, ...]:
    """The numbers from "rightward" to "growth" between two times; `height` is the mean of the second, a share of the frame."""
    (start_s, first), (end_s, last) = start, end
    elapsed_s = max(end_s - start_s, SHORTEST_S)
    right, down = (last.x - first.x) / elapsed_s, (last.foot - first.foot) / elapsed_s
    wide = last.aspect * last.height / max(last.width, 1e-3)  # the frame's width in heights of the frame
    stride = float(np.hypot(right * wide, down)) / max(height, 0.02)
    growth = float(np.clip(np.log(last.height / first.height) / elapsed_s, -1, 1))
    sides = max(0.0, right), max(0.0, -right), float(np.clip(down, 0, 1)), float(np.clip(-down, 0, 1))
    return *sides, min(stride, MOST_STRIDE), float(stride < STILL), growth
