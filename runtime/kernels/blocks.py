"""The kernel "numpy": blocks of rows that stay in the processor's cache. Needs no other library.

Shapes: T snippets, Q sentences, H key width, R vectors per snippet, D their width.
"""

from __future__ import annotations

import numpy as np

from wsra.runtime.kernels.protocol import Array32, Keys, in_threads
from wsra.runtime.kernels.weights import Trained, Weights
from wsra.runtime.kernels.widen import widen

BLOCK = 128  # rows; the fastest of 16, 32, 64, 128 and 256 at a width of 512, one thread, busy cores


class NumpyKernel:
    """Scores block by block.

    Args (constructor):
        weights: of the scorer.
        block: rows per block.
        threads: at most; 0 takes the cores that this process may use.
    """

    name = "numpy"

    def __init__(self, weights: Weights, *, block: int = BLOCK, threads: int = 0) -> None:
        self._weights, self._block, self._threads = weights, block, threads

    def logits(self, keys: Keys, text: Array32) -> Array32:
        """See `Kernel.logits`."""
        out = np.empty((len(text), len(keys)), np.float32)
        weights = self._weights
        sentences = weights.offsets(text) if isinstance(weights, Trained) else weights.directions(text)

        def work(first: int, last: int) -> None:
            wide = np.empty((self._block, keys.shape[1]), np.float32)
            room = np.empty_like(wide)
            for start in range(first, last, self._block):
                stop = min(start + self._block, last)
                rows = wide[: stop - start]
                widen(keys[start:stop], rows)
                if isinstance(weights, Trained):
                    _trained(weights, rows, sentences, room[: stop - start], out[:, start:stop])
                else:
                    out[:, start:stop] = _cosines(rows, sentences, weights.slots, weights.width, weights.scale)

        in_threads(work, rows=len(keys), width=keys.shape[1], threads=self._threads)
        return out


def _trained(weights: Trained, rows: Array32, offsets: Array32, room: Array32, out: Array32) -> None:
    for offset, logits in zip(offsets, out, strict=True):
        np.add(rows, offset, out=room)
        np.maximum(room, 0, out=room)
        np.add(room @ weights.out, weights.bias, out=logits)


def _cosines(rows: Array32, directions: Array32, slots: int, width: int, scale: float) -> Array32:
    cosines = [directions @ rows[:, slot * width : (slot + 1) * width].T for slot in range(slots)]
    return np.asarray(scale * (np.maximum.reduce(cosines) - rows[:, slots * width]), np.float32)
