"""Lives of tracks as candidates: what a recording's tracks are across its files, and the score of each life.

Shapes: R rows, N tracks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.moments import NMS_IOU, best_first, iou

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lives:
    """The tracks of a recording on its clock.

    Attributes:
        of_row: (R,) int64 number of the track of each row, in [0, N).
        lives_s: (N, 2) when each came and went, in seconds of the recording.
        numbers: (N,) what each is called in the file in which it begins.
        best_s: (N,) time of its best view.
        boxes: (N, 4) its box there: left, top, right, bottom as shares of the picture.
    """

    of_row: NDArray[np.int64]
    lives_s: Array
    numbers: NDArray[np.int64]
    best_s: Array
    boxes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lives_s)

    @cached_property
    def _grouped(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows ordered by track, the place at which each track begins in that order, and how many rows each has."""
        order = np.argsort(self.of_row, kind="stable")
        counts = np.bincount(self.of_row, minlength=len(self))
        return order, np.cumsum(counts) - counts, counts

    def scores(self, excess: NDArray[np.floating]) -> Array:
        """The score of each life: the logarithm of the mean of exp(excess) over its rows.

        Of the compared ways to sum up the rows of a life, this and the maximum rank best; a sum favours whoever stays long
        (docs/measurements/grounding.md).

        Args:
            excess: (R,) logit - theta of each row for one sentence.

        Returns:
            (N,) float64; NaN where a row is NaN.
        """
        if len(self) == 0:
            return np.zeros(0)
        order, first, counts = self._grouped
        rows = excess[order].astype(np.float64)
        largest = np.maximum.reduceat(rows, first)
        sums = np.add.reduceat(np.exp(rows - np.repeat(largest, counts)), first)
        return np.asarray(largest + np.log(sums / counts))


def best_lives(lives: Lives, scores: Array, *, top_k: int, above: float = 0.0, limit: float = NMS_IOU) -> NDArray[np.int64]:
    """Temporal non-maximum suppression among lives: keep the best, drop what overlaps it by more than `limit`, and so on.

    Args:
        lives: the candidates.
        scores: (N,) of each.
        top_k: how many to keep at most; fewer of them are the first of more.
        above: only lives that score more are kept.
        limit: IoU above which the lower-scored life is dropped.

    Returns:
        Their places among the candidates, best first; of equal scores the earlier one.
    """
    order = best_first(scores)
    waiting = order[scores[order] > above]
    kept: list[int] = []
    while len(waiting) and len(kept) < top_k:
        kept.append(int(waiting[0]))
        waiting = waiting[1:][iou(lives.lives_s[waiting[1:]], lives.lives_s[kept[-1]]) <= limit]
    return np.array(kept, np.int64)
