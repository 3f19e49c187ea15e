"""What reading all keys once costs, in two ways: the yardsticks of scoring.

Shapes: T snippets, H key width.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.bench.timing import LapTimer

PRODUCT, COPY = "product", "copy"
MOST_BYTES = 1 << 29  # of keys in float32, which stand in memory
BLOCK_BYTES = 1 << 20  # fits the cache of a core


class KeyReader:
    """Reads keys (T, H) once.

    Args (constructor):
        keys: float16 or float32, a memory map or in memory.
    """

    def __init__(self, keys: NDArray[Any]) -> None:
        count, width = keys.shape
        self.rows = min(count, max(1, MOST_BYTES // (4 * width)))
        self._scale = count / self.rows
        self._wide = np.array(keys[: self.rows], np.float32)
        self._vector = np.random.default_rng(0).standard_normal(width, dtype=np.float32)
        self._bytes = np.ascontiguousarray(keys).reshape(-1).view(np.uint8)
        self._room = np.empty(BLOCK_BYTES, np.uint8)

    def product(self) -> Mapping[str, float]:
        """Seconds of the BLAS product keys @ vector, float32, in memory; timed over `rows` of them and scaled to all."""
        watch = LapTimer()
        with watch.lap(PRODUCT):
            self._wide @ self._vector
        return {PRODUCT: watch.seconds[PRODUCT] * self._scale}

    def copied(self) -> Mapping[str, float]:
        """Seconds of copying the stored bytes into the cache, block by block, in one thread."""
        watch = LapTimer()
        with watch.lap(COPY):
            for start in range(0, len(self._bytes), BLOCK_BYTES):
                block = self._bytes[start : start + BLOCK_BYTES]
                np.copyto(self._room[: len(block)], block)
        return watch.seconds


def blas_threads() -> int:
    """Threads of the product: what the environment sets for OpenBLAS, the library of NumPy's wheels, else every core.

    OpenBLAS reads it when NumPy is loaded, so `--threads` comes too late for it.
    """
    cores = len(os.sched_getaffinity(0))
    values = (os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"))
    return min(cores, next((int(number) for number in values if number.isdigit() and int(number) > 0), cores))
