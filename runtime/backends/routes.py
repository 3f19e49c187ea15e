"""Ways to run a bundle on this device: a precision on a provider; which of them start here; opening the graphs of one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from wsra.runtime.backends.engines import SIDECAR, in_other_modes, misfit, read_sidecar, usable_folder
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.ort import OrtBackend, start_failure
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.backends.providers import tensorrt_options
from wsra.runtime.backends.settings import DEFAULT, Provider, RunSettings
from wsra.runtime.device import Device
from wsra.runtime.errors import BackendError, BundleError, WsraError
from wsra.runtime.formats.bundle import GRAPHS, Bundle

logger = logging.getLogger(__name__)

EVERY_PROVIDER: tuple[Provider, ...] = get_args(Provider)


@dataclass(frozen=True)
class Route:
    """One way to run a bundle.

    Attributes:
        precision: "fp32", "fp16" or "int8".
        provider: of ONNX Runtime ("cpu", "cuda", "tensorrt"), or "engine": plans that TensorRT runs by itself.
    """

    precision: str
    provider: Provider

    @property
    def name(self) -> str:
        """Name in reports: "fp16" on the CPU, "fp16/engine" elsewhere."""
        return self.precision if self.provider == "cpu" else f"{self.precision}/{self.provider}"


def routes_here(bundle: Bundle, device: Device) -> list[Route]:
    """Every route that starts on this device, over the precisions that passed their gate."""
    of_onnxruntime: tuple[Provider, ...] = ("cpu", "cuda", "tensorrt") if device.gpu else ("cpu",)
    starting = [provider for provider in of_onnxruntime if start_failure(provider, gpu=device.gpu.index if device.gpu else 0) is None]
    routes = [Route(precision, provider) for precision in bundle.passed() for provider in starting]
    if device.gpu is not None:
        routes += [Route(precision, "engine") for precision in bundle.passed() if engine_failure(bundle, precision, device) is None]
    return routes


def engine_failure(bundle: Bundle, precision: str, device: Device) -> str | None:
    """Why the engines of a precision cannot run here, in one line; None when they can."""
    if device.gpu is None:
        return "there is no GPU to run them"
    try:
        folder, library, version = engines_here(bundle, device, precision), *library_here(device)
        if not (folder / SIDECAR).is_file():
            others = in_other_modes(bundle.folder, device, library, version)
            return "; ".join([f"none is built for this GPU and {library} {version}", *others])
        graphs = {name: bundle.graph(precision, name) for name in bundle.graphs}
        return misfit(read_sidecar(folder / SIDECAR), folder, graphs, device, library, version)
    except WsraError as err:
        return str(err)


def other_modes(bundle: Bundle, device: Device) -> list[str]:
    """Engines that a Jetson does not use because its power mode has changed, one line each; none where there is no TensorRT."""
    if not device.l4t or device.gpu is None:
        return []
    try:
        return in_other_modes(bundle.folder, device, *library_here(device))
    except WsraError:
        return []


def engines_here(bundle: Bundle, device: Device, precision: str) -> Path:
    """Where the engines of a precision lie for this device and its TensorRT; see `usable_folder`."""
    return usable_folder(bundle.folder, device, *library_here(device), precision)


def library_here(device: Device) -> tuple[str, str]:
    """Name and version of the TensorRT that runs engines here; errors as of `find_library`."""
    library = find_library(gpu=device.gpu is not None)
    return str(library.__name__), str(library.__version__)


def open_route(
    bundle: Bundle,
    route: Route,
    device: Device,
    settings: RunSettings = DEFAULT,
    *,
    graphs: Sequence[str] = GRAPHS,
) -> dict[str, Backend]:
    """Load graphs; when one of them cannot be loaded, those before it are closed.

    Args:
        bundle: an open bundle.
        route: how.
        device: this machine.
        settings: the threads, and whether the CPU may stand in for the provider.
        graphs: which; by default those that grounding runs.

    Raises:
        BundleError: the precision is missing or failed its gate, or its engines do not fit.
        BackendError: the provider cannot be had, or a graph cannot be loaded.
        MissingExtraError: the library of the provider is not installed.
    """
    bundle.check(route.precision)
    failure = engine_failure(bundle, route.precision, device) if route.provider == "engine" else None
    if failure is None:
        with ExitStack() as stack:
            opened = {name: stack.enter_context(_open_graph(bundle, route, device, settings, name)) for name in graphs}
            _check_described(bundle, route, opened)
            stack.pop_all()  # they are the caller's now
        return opened
    if settings.allow_fallback:
        return open_route(bundle, Route(route.precision, "cpu"), device, replace(settings, allow_fallback=False), graphs=graphs)
    remedy = f"build them with wsra build {bundle.folder}, or accept" if device.gpu else "accept"
    raise BackendError(
        f"{bundle.folder}: the engines of {route.precision} cannot run here ({failure}); {remedy} ONNX Runtime on the CPU with"
        " --allow-fallback"
    )


def _open_graph(bundle: Bundle, route: Route, device: Device, settings: RunSettings, name: str) -> Backend:
    if route.provider != "engine":
        path = bundle.graph(route.precision, name)
        options = tensorrt_options(bundle, device, route.precision, name) if route.provider == "tensorrt" and device.gpu else {}
        return OrtBackend(
            path,
            provider=route.provider,
            threads=settings.threads,
            allow_fallback=settings.allow_fallback,
            gpu=device.gpu.index if device.gpu else 0,
            options=options,
        )
    from wsra.runtime.backends.trt import TrtBackend

    assert device.gpu is not None
    plan = engines_here(bundle, device, route.precision) / f"{name}.plan"
    return TrtBackend(plan, device_name=device.gpu.name, gpu=device.gpu.index)


def _check_described(bundle: Bundle, route: Route, opened: Mapping[str, Backend]) -> None:
    """Compare the inputs and outputs of the graphs with those of the manifest.

    Raises:
        BundleError: a name, a dtype or a fixed length is another.
    """
    for graph, backend in opened.items():
        for side, found in (("inputs", backend.inputs), ("outputs", backend.outputs)):
            described = bundle.manifest.tensors[graph][side]
            if found.keys() != described.keys():
                raise BundleError(
                    f"{bundle.folder}: {graph} of {route.name} has {side} {', '.join(found)}, the manifest tells of {', '.join(described)};"
                    " export the bundle again"
                )
            for name, (dtype, axes) in described.items():
                spec = found[name]
                fits = len(spec.shape) == len(axes) and all(
                    have == want for have, want in zip(spec.shape, axes, strict=True) if isinstance(have, int) and isinstance(want, int)
                )
                if spec.dtype != dtype or not fits:
                    raise BundleError(
                        f"{bundle.folder}: {name} of {graph} in {route.name} is {spec.dtype} {spec.shape}, the manifest says {dtype}"
                        f" {tuple(axes)}; export the bundle again"
                    )
