"""The kernel "numba": one fused loop over the stored float16 keys, which are read once and never widened in memory (extra `fast`)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import BackendError, MissingExtraError
from wsra.runtime.kernels.protocol import Array32, Keys, in_threads, logits_of_means
from wsra.runtime.kernels.weights import SHORTEST, Trained, Weights
from wsra.runtime.spans.sums import Rows
from wsra.runtime.spans.windows import Rung

TILE = 256  # snippets whose windows are scored together


def fused_failure() -> str | None:
    """Why the kernel cannot run here, in one line; None when it can."""
    if find_spec("numba") is None:
        return "numba is not installed: pip install 'wsra[fast]'"
    import platform

    from llvmlite.binding import get_host_cpu_features

    if platform.machine() in ("x86_64", "AMD64") and not get_host_cpu_features().get("f16c"):
        return "the processor has no instruction for float16 (F16C)"
    return None


class FusedKernel:
    """Scores in one loop that numba compiles on the first use and keeps on disk.

    Args (constructor):
        weights: of the scorer.
        threads: at most; 0 takes the cores that this process may use.

    Raises:
        MissingExtraError: numba is not installed.
        BackendError: the processor cannot run it.
    """

    name = "numba"
    compiled = True

    def __init__(self, weights: Weights, *, threads: int = 0) -> None:
        if find_spec("numba") is None:
            raise MissingExtraError("numba", "fast", "the kernel numba")
        failure = fused_failure()
        if failure is not None:
            raise BackendError(f"the kernel numba cannot run here ({failure}); take the kernel numpy")
        self._weights, self._threads = weights, threads

    def logits(self, keys: Keys, text: Array32) -> Array32:
        """See `Kernel.logits`."""
        from wsra.runtime.kernels import compiled

        weights, rows, out = self._weights, _plain(keys), np.empty((len(text), len(keys)), np.float32)
        if isinstance(weights, Trained):
            offsets, half_out, bias = weights.offsets(text), weights.out * np.float32(0.5), np.float32(weights.bias)
            towards = weights.directions(text)

            def work(first: int, last: int) -> None:
                compiled.trained(rows, first, last, offsets, half_out, bias, towards, out)
        else:
            directions, slots, scale = weights.directions(text), weights.slots, np.float32(weights.scale)

            def work(first: int, last: int) -> None:
                compiled.cosine(rows, first, last, directions, slots, scale, out)

        in_threads(work, rows=len(keys), width=keys.shape[1], threads=self._threads)
        return out

    def window_logits(self, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        """See `Kernel.window_logits`."""
        weights = self._weights
        if not isinstance(weights, Trained):
            return logits_of_means(self, rows, ladder, text)
        from wsra.runtime.kernels import compiled

        (count, width), longest = rows.shape, max(rung.length for rung in ladder)
        offsets, half_out, bias = weights.offsets(text), weights.out * np.float32(0.5), np.float32(weights.bias)
        rungs, directions = np.array(ladder), weights.directions(text)
        edges = np.cumsum([0, *rungs[:, 2]])
        out = np.full((len(text), edges[-1]), bias, np.float32)
        products, squares = np.zeros_like(out), np.zeros(edges[-1], np.float32)

        def work(first_tile: int, last_tile: int) -> None:
            for first in range(first_tile * TILE, last_tile * TILE, TILE):
                piece = _plain(rows[first : first + TILE + longest])
                compiled.windows(piece, first, first + TILE, rungs, edges, offsets, half_out, directions, out, products, squares)

        in_threads(work, rows=-(-count // TILE), width=TILE * width, threads=self._threads)
        out += products / np.maximum(np.sqrt(squares), SHORTEST)
        return [out[:, edge : edge + rung.windows] for edge, rung in zip(edges.tolist(), ladder, strict=False)]


def _plain(keys: Keys) -> NDArray[Any]:
    """The same numbers as numba takes them: float16 as bits, and read-only as a map is, for it compiles for each kind of array."""
    plain = np.ascontiguousarray(keys).view(np.ndarray)
    rows = plain.view(np.uint16) if keys.dtype == np.float16 else plain.view()
    rows.flags.writeable = False
    return rows
