"""Which kernel scores snippets: the fastest on the CPU for the amount of work, or the exported graph on a GPU that is faster."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from wsra.runtime.backends.records import graph_scores_faster
from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.device import Device
from wsra.runtime.errors import BackendError
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.kernels.numba_kernel import FusedKernel, fused_failure
from wsra.runtime.kernels.numpy_kernel import NumpyKernel
from wsra.runtime.kernels.protocol import Array32, Kernel, Keys
from wsra.runtime.kernels.weights import Weights, read_weights
from wsra.runtime.spans.sums import Rows
from wsra.runtime.spans.windows import Rung

START = 2e9  # numbers of keys that the kernel numpy scores in the time in which numba is imported and its code loaded


class AutoKernel:
    """The faster kernel of the CPU: numba where the extra `fast` is installed and there is much to score, else numpy.

    It is chosen by `expect`, or on the first use, and then for any amount of work. The limit was measured: docs/measurements/grounding.md.

    Args (constructor):
        weights: of the scorer.
        threads: at most; 0 takes the cores that this process may use.
    """

    def __init__(self, weights: Weights, *, threads: int = 0) -> None:
        self._weights, self._threads = weights, threads
        self._chosen: Kernel | None = None

    def expect(self, numbers: float) -> None:
        """Choose for an amount of work.

        Args:
            numbers: snippets x key width x sentences that will be scored.
        """
        if numbers >= START and fused_failure() is None:
            self._chosen = FusedKernel(self._weights, threads=self._threads)
        else:
            self._chosen = NumpyKernel(self._weights, threads=self._threads)

    @property
    def name(self) -> str:
        """See `Kernel.name`."""
        return self._kernel.name

    @property
    def compiled(self) -> bool:
        """See `Kernel.compiled`."""
        return self._kernel.compiled

    def logits(self, keys: Keys, text: Array32) -> Array32:
        """See `Kernel.logits`."""
        return self._kernel.logits(keys, text)

    def window_logits(self, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        """See `Kernel.window_logits`."""
        return self._kernel.window_logits(rows, ladder, text)

    @property
    def _kernel(self) -> Kernel:
        if self._chosen is None:
            self.expect(inf)
        assert self._chosen is not None
        return self._chosen


def kernels_on_cpu() -> list[Literal["numpy", "numba"]]:
    """Those that `ground` may take on the CPU of this machine."""
    return ["numpy", "numba"] if fused_failure() is None else ["numpy"]


def open_kernel(bundle: Bundle, route: Route, device: Device, settings: RunSettings = DEFAULT, *, on_cpu: bool) -> Kernel:
    """Open the kernel of the settings; "auto" is an `AutoKernel` on the CPU, or the graph where `wsra verify` found that a GPU is faster.

    A scorer is a small product over many keys, which lie in the memory of the host: copying them may take longer than scoring them. A
    custom scorer has only its graph.

    Args:
        bundle: an open bundle.
        route: how its graphs run.
        device: this machine.
        settings: its kernel, its threads, and whether the graph may run on the CPU instead.
        on_cpu: whether the graphs really run there.

    Raises:
        MissingExtraError: numba was asked for and is not installed.
        BackendError: the kernel or the graph cannot run here, or the kernel cannot run this scorer.
        BundleError: the weights cannot be read.
    """
    custom = bundle.manifest.scorer == "custom"
    faster = settings.kernel == "auto" and not on_cpu and not custom and graph_scores_faster(bundle, device, route)
    if settings.kernel == "graph" or faster or (settings.kernel == "auto" and custom):
        return GraphKernel(open_route(bundle, route, device, settings, graphs=("scorer",))["scorer"])
    if custom:
        raise BackendError(f"{bundle.folder}: the kernel {settings.kernel} cannot run its custom scorer; choose the kernel graph or auto")
    weights = read_weights(bundle)
    if settings.kernel == "numba":
        return FusedKernel(weights, threads=settings.threads)
    if settings.kernel == "numpy":
        return NumpyKernel(weights, threads=settings.threads)
    return AutoKernel(weights, threads=settings.threads)
