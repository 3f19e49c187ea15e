"""The kernel "numba": one fused loop over the stored float16 keys, which are read once and never widened in memory (extra `fast`)."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from wsra.runtime.errors import BackendError, MissingExtraError
from wsra.runtime.kernels.protocol import Array32, Keys, in_threads
from wsra.runtime.kernels.weights import Trained, Weights


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

        weights, out = self._weights, np.empty((len(text), len(keys)), np.float32)
        plain = np.ascontiguousarray(keys).view(np.ndarray)
        rows = plain.view(np.uint16) if keys.dtype == np.float16 else plain.view()
        rows.flags.writeable = False  # as a memory map is: numba compiles for each kind of array
        if isinstance(weights, Trained):
            offsets, half_out, bias = weights.offsets(text), weights.out * np.float32(0.5), np.float32(weights.bias)

            def work(first: int, last: int) -> None:
                compiled.trained(rows, first, last, offsets, half_out, bias, out)
        else:
            directions, slots, scale = weights.directions(text), weights.slots, np.float32(weights.scale)

            def work(first: int, last: int) -> None:
                compiled.cosine(rows, first, last, directions, slots, scale, out)

        in_threads(work, rows=len(keys), width=keys.shape[1], threads=self._threads)
        return out
