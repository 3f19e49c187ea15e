"""Scores of spans: prefix sums that keep their precision, the additive span score, the paper's pooled score, maximal spans.

Shapes: T snippets, N windows, H key width, Q queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 256  # snippets whose sum is kept in single precision


class PrefixSums:
    """Sums over any span of rows, also between rows, in O(1) each.

    Within blocks of 256 rows the sums of what differs from the block's mean are kept in float32, over blocks the sums are float64: a day
    of values around a large offset loses nothing and takes little more memory than the rows.

    Args (constructor):
        rows: (T, W) or (T,) values.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self._rows = rows if rows.ndim == 2 else rows[:, None]
        count, width = self._rows.shape
        blocks = -(-count // BLOCK)
        self._within = np.zeros((blocks * BLOCK + 1, width), np.float64 if width == 1 else np.float32)
        self._mean = np.zeros((blocks + 1, width), np.float64)
        self._before = np.zeros((blocks + 1, width), np.float64)
        for block in range(blocks):
            start = block * BLOCK
            piece = self._rows[start : start + BLOCK].astype(np.float64)
            self._mean[block] = piece.mean(axis=0)
            self._within[start + 1 : start + len(piece)] = np.cumsum(piece - self._mean[block], axis=0)[:-1]
            self._before[block + 1] = self._before[block] + piece.sum(axis=0)

    def _upto(self, positions: Array) -> Array:
        count = len(self._rows)
        whole = np.minimum(np.floor(positions).astype(np.int64), count)
        partial = (positions - whole)[:, None] * self._rows[np.minimum(whole, count - 1)].astype(np.float64)
        block = np.where(whole == count, len(self._before) - 1, whole // BLOCK)
        offset = np.where(whole == count, 0, whole % BLOCK)[:, None] * self._mean[block]
        return np.asarray(self._before[block] + self._within[whole] + offset + partial)

    def sums(self, positions: Array) -> Array:
        """Sum of the rows in each span.

        Args:
            positions: (N, 2) starts and ends.

        Returns:
            (N, W) float64.
        """
        return self._upto(positions[:, 1]) - self._upto(positions[:, 0])


def pooled_means(rows: NDArray[np.floating], positions: Array) -> Array:
    """Mean of the rows in each span; the key of a pooled window, since keys are affine in features.

    Args:
        rows: (T, W).
        positions: (N, 2).

    Returns:
        (N, W) float64; 0 where a span covers nothing.
    """
    covered = (positions[:, 1] - positions[:, 0])[:, None]
    return np.asarray(PrefixSums(rows).sums(positions) / np.where(covered > 0, covered, 1.0))


def additive_scores(logits: NDArray[np.floating], positions: Array, theta: float) -> Array:
    """The span score: the sum over the span's snippets of (logit phi - theta), with shares of snippets at the ends.

    Args:
        logits: (T,) of one query.
        positions: (N, 2).
        theta: the logit at which a snippet speaks neither for nor against.

    Returns:
        (N,) float64.
    """
    excess = logits.astype(np.float64) - theta
    return PrefixSums(excess).sums(positions)[:, 0]


def maximal_spans(logits: NDArray[np.floating], theta: float) -> tuple[Array, Array]:
    """All maximal scoring subsequences of (logit - theta), in linear time (Ruzzo and Tompa, ISMB 1999).

    They are disjoint, need no plan and no longest length; each has a positive score that no extension or part of it exceeds.

    Args:
        logits: (T,) of one query.
        theta: as in `additive_scores`.

    Returns:
        (N, 2) positions in order of time, and their (N,) scores.
    """
    excess = logits.astype(np.float64) - theta
    sums = np.concatenate([[0.0], np.cumsum(excess)])
    starts: list[int] = []
    ends: list[int] = []
    # For each candidate: the nearest earlier one whose left sum is smaller, the chain that the linear-time search follows.
    links: list[int] = []
    for at in np.flatnonzero(excess > 0):
        start, end = int(at), int(at) + 1
        earlier = len(starts) - 1
        while True:
            while earlier >= 0 and sums[starts[earlier]] >= sums[start]:
                earlier = links[earlier]
            if earlier < 0 or sums[ends[earlier]] >= sums[end]:
                break
            start = starts[earlier]
            del starts[earlier:], ends[earlier:]
            earlier = links[earlier]
            del links[len(starts) :]
        starts.append(start)
        ends.append(end)
        links.append(earlier)
    positions = np.array([starts, ends], np.float64).T.reshape(-1, 2)
    scores = sums[ends] - sums[starts] if starts else np.zeros(0)
    return positions, scores
