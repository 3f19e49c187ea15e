"""Which kernel scores snippets: on the CPU the fastest that there is, on a GPU the exported graph."""

from __future__ import annotations

from math import inf
from typing import Literal

from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.device import Device
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.kernels.numba_kernel import FusedKernel, fused_failure
from wsra.runtime.kernels.numpy_kernel import NumpyKernel
from wsra.runtime.kernels.protocol import Kernel
from wsra.runtime.kernels.weights import read_weights

KernelName = Literal["auto", "numba", "numpy", "graph"]
START = 2e9  # numbers of keys that the kernel numpy scores in the time in which numba is imported and its code loaded


def kernels_on_cpu() -> list[KernelName]:
    """Those that `ground` may take on the CPU of this machine."""
    return ["numpy", "numba"] if fused_failure() is None else ["numpy"]


def open_kernel(
    bundle: Bundle,
    route: Route,
    device: Device,
    name: KernelName = "auto",
    *,
    on_cpu: bool,
    threads: int = 0,
    allow_fallback: bool = False,
    numbers: float = inf,
) -> Kernel:
    """Open a kernel.

    Args:
        bundle: an open bundle.
        route: how its graphs run.
        device: this machine.
        name: "numba", "numpy", "graph", or "auto": on the CPU numba where the extra `fast` is installed and there is enough to score, else
            numpy; elsewhere the graph. That order is measured, see docs/measurements/grounding.md.
        on_cpu: whether the graphs really run there.
        threads: at most; 0 takes the cores that this process may use.
        allow_fallback: run the graph on the CPU where the provider cannot be had.
        numbers: snippets x key width x sentences that will be scored, where that is known; numba costs a start.

    Raises:
        MissingExtraError: numba was asked for and is not installed.
        BackendError: the kernel or the graph cannot run here.
        BundleError: the weights cannot be read.
    """
    if name == "auto":
        name = "graph" if not on_cpu else "numba" if numbers >= START and fused_failure() is None else "numpy"
    if name == "graph":
        return GraphKernel(open_route(bundle, route, device, graphs=("scorer",), threads=threads, allow_fallback=allow_fallback)["scorer"])
    weights = read_weights(bundle)
    return FusedKernel(weights, threads=threads) if name == "numba" else NumpyKernel(weights, threads=threads)
