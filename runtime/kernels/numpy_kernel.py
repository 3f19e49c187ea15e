"""The kernel "numpy": blocks of rows that stay in the processor's cache. Needs no other library.

Shapes: T snippets, Q sentences, H key width, R vectors per snippet, D their width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from wsra.runtime.kernels.protocol import Array32, Keys, in_threads, logits_of_means
from wsra.runtime.kernels.weights import SHORTEST, Cosine, Trained, Weights
from wsra.runtime.spans.sums import Rows, widen
from wsra.runtime.spans.windows import Rung

Score = Callable[[Array32, Array32, Array32], None]  # rows (n, H), as much room, and where the logits (Q, n) go

BLOCK = 256  # rows; beyond, nothing is gained at a width of 512 (64: a quarter slower, 128: 8 %)


class NumpyKernel:
    """Scores block by block.

    Args (constructor):
        weights: of the scorer.
        block: rows per block.
        threads: at most; 0 takes the cores that this process may use.
    """

    name = "numpy"
    compiled = False

    def __init__(self, weights: Weights, *, block: int = BLOCK, threads: int = 0) -> None:
        self._weights, self._block, self._threads = weights, block, threads

    def logits(self, keys: Keys, text: Array32) -> Array32:
        """See `Kernel.logits`."""
        out = np.empty((len(text), len(keys)), np.float32)
        score = self._trained(text) if isinstance(self._weights, Trained) else self._cosine(text)

        def work(first: int, last: int) -> None:
            wide = np.empty((self._block, keys.shape[1]), np.float32)
            room = np.empty_like(wide)
            for start in range(first, last, self._block):
                stop = min(start + self._block, last)
                rows = wide[: stop - start]
                widen(keys[start:stop], rows)
                score(rows, room[: stop - start], out[:, start:stop])

        in_threads(work, rows=len(keys), width=keys.shape[1], threads=self._threads)
        return out

    def window_logits(self, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        """See `Kernel.window_logits`."""
        return logits_of_means(self, rows, ladder, text)

    def _trained(self, text: Array32) -> Score:
        """Out . relu(key + offset) = out . max(key, -offset) + out . offset: one pass over the rows less. Then the cosines are added."""
        weights = cast("Trained", self._weights)
        offsets, directions = weights.offsets(text), weights.directions(text)
        added = (offsets.astype(np.float64) @ weights.out.astype(np.float64) + weights.bias).astype(np.float32)

        def score(rows: Array32, room: Array32, out: Array32) -> None:
            lengths = np.maximum(np.sqrt(np.einsum("th,th->t", rows, rows)), SHORTEST)
            for lowest, level, direction, logits in zip(-offsets, added, directions, out, strict=True):
                np.maximum(rows, lowest, out=room)
                np.add(room @ weights.out, level, out=logits)
                logits += rows @ direction / lengths  # one by one: a product of all sentences would round by how many there are

        return score

    def _cosine(self, text: Array32) -> Score:
        weights = cast("Cosine", self._weights)
        directions, width = weights.directions(text), weights.width

        def score(rows: Array32, room: Array32, out: Array32) -> None:
            cosines = [directions @ rows[:, slot * width : (slot + 1) * width].T for slot in range(weights.slots)]
            out[:] = weights.scale * (np.maximum.reduce(cosines) - rows[:, weights.slots * width])

        return score
