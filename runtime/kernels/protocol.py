"""What every kernel offers, and what several of them share: the windows of a ladder, and rows in threads.

Shapes: T snippets or windows, Q sentences, H key width, Dt text width.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.sums import Rows, ladder_means
from wsra.runtime.spans.windows import Rung

Array32 = NDArray[np.float32]
Keys = NDArray[Any]  # float16 or float32, in memory or as a memory map
FEWEST = 1 << 20  # numbers of keys below which a second thread costs more than it saves


class Kernel(Protocol):
    """Scores keys."""

    @property
    def name(self) -> str:
        """What JSON results call it: "graph", "numpy" or "numba"."""

    @property
    def compiled(self) -> bool:
        """Whether it runs code that numba compiles; then the search of spans does so, too."""

    def logits(self, keys: Keys, text: Array32) -> Array32:
        """Logits (Q, T) of keys (T, H), float16 or float32, and text vectors (Q, Dt); all sentences in one pass over the keys.

        A sentence that is not finite gives NaN, never a number. Keys are finite: that is looked at once, when they are made.
        """

    def window_logits(self, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        """Logits of the mean keys of all windows of a ladder, (Q, N) for each rung; the means of all windows never stand in memory.

        Args:
            rows: keys (T, H), read in slices.
            ladder: its rungs.
            text: (Q, Dt).
        """


def logits_of_means(kernel: Kernel, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
    """Logits (Q, N) of the mean keys of each rung's windows, some windows at a time, by a kernel that scores rows of keys."""
    logits = [np.empty((len(text), rung.windows), np.float32) for rung in ladder]
    for number, first, means in ladder_means(rows, ladder):
        logits[number][:, first : first + len(means)] = kernel.logits(means, text)
    return logits


def in_threads(work: Callable[[int, int], None], *, rows: int, width: int, threads: int) -> None:
    """Call `work` on consecutive ranges of rows, each in a thread of its own; few rows stay in this one.

    Threads are started per call: a pool that outlives it would hang in a process that was forked meanwhile.

    Args:
        work: takes the first row and the one after the last; releases the GIL.
        rows: how many.
        width: numbers per row.
        threads: at most; 0 takes the cores that this process may use.
    """
    count = min(threads or len(os.sched_getaffinity(0)), max(1, rows * width // FEWEST))
    if count == 1:
        work(0, rows)
        return
    edges = np.linspace(0, rows, count + 1).astype(int).tolist()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))
