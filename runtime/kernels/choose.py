"""Which kernel scores snippets: on the CPU the fastest that there is, on a GPU the exported graph."""

from __future__ import annotations

from typing import Literal

from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.bundle import Bundle
from wsra.runtime.devices.device import Device
from wsra.runtime.kernels.blocks import NumpyKernel
from wsra.runtime.kernels.fused import FusedKernel, fused_failure
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.kernels.protocol import Kernel
from wsra.runtime.kernels.weights import read_weights

KernelName = Literal["auto", "numba", "numpy", "graph"]


def open_kernel(
    bundle: Bundle, route: Route, device: Device, name: KernelName = "auto", *, on_cpu: bool, threads: int = 0, allow_fallback: bool = False
) -> Kernel:
    """Open a kernel.

    Args:
        bundle: an open bundle.
        route: how its graphs run.
        device: this machine.
        name: "numba", "numpy", "graph", or "auto": on the CPU numba where the extra `fast` is installed, else numpy; else the graph.
            That order is measured, see docs/ground.md.
        on_cpu: whether the graphs really run there.
        threads: at most; 0 takes the cores that this process may use.
        allow_fallback: run the graph on the CPU where the provider cannot be had.

    Raises:
        MissingExtraError: numba was asked for and is not installed.
        BackendError: the kernel or the graph cannot run here.
        BundleError: the weights cannot be read.
    """
    if name == "auto":
        name = "graph" if not on_cpu else "numba" if fused_failure() is None else "numpy"
    if name == "graph":
        return GraphKernel(open_route(bundle, route, device, graphs=("scorer",), threads=threads, allow_fallback=allow_fallback)["scorer"])
    weights = read_weights(bundle)
    return FusedKernel(weights, threads=threads) if name == "numba" else NumpyKernel(weights, threads=threads)
