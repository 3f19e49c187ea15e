"""Ways to run a bundle on this device: which precision on which provider; what was verified here; which is fastest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from wsra.runtime.backends.ort import OrtBackend, start_failure
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.bundle import GRAPHS, PRECISIONS, Bundle
from wsra.runtime.device import Device
from wsra.runtime.engines import SIDECAR, engines_folder, misfit, read_engine
from wsra.runtime.errors import BackendError, BundleError, WsraError
from wsra.runtime.files import replacing, sha256_of

Provider = Literal["cpu", "cuda", "tensorrt", "engine"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)
RECORDS = "verified"
NOISE = 0.05  # of routes whose times differ by less, the most precise one is taken


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
    starting = [provider for provider in of_onnxruntime if start_failure(provider) is None]
    routes = [Route(precision, provider) for precision in bundle.passed() for provider in starting]
    if device.gpu is not None:
        routes += [Route(precision, "engine") for precision in bundle.passed() if engine_failure(bundle, precision, device) is None]
    return routes


def engine_failure(bundle: Bundle, precision: str, device: Device) -> str | None:
    """Why the engines of a precision cannot run here, in one line; None when they can."""
    try:
        folder = engines_here(bundle, device) / precision
        library, version = _library(device)
        graphs = {name: bundle.graph(precision, name) for name in bundle.graphs}
        return misfit(read_engine(folder), folder, graphs, device, library, version)
    except WsraError as err:
        return str(err)


def engines_here(bundle: Bundle, device: Device) -> Path:
    """Where the engines of this device and its TensorRT lie."""
    return engines_folder(bundle.folder, device, *_library(device))


def _library(device: Device) -> tuple[str, str]:
    from wsra.runtime.backends.trt import find_library

    library = find_library(gpu=device.gpu is not None)
    return str(library.__name__), str(library.__version__)


def open_route(
    bundle: Bundle,
    route: Route,
    device: Device,
    *,
    graphs: Sequence[str] = GRAPHS,
    threads: int = 0,
    allow_fallback: bool = False,
) -> dict[str, Backend]:
    """Load graphs.

    Args:
        bundle: an open bundle.
        route: how.
        device: this machine.
        graphs: which; those that grounding runs unless told otherwise.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        allow_fallback: run on the CPU where the provider cannot be had.

    Raises:
        BundleError: the precision is missing or failed its gate, or its engines do not fit.
        BackendError: the provider cannot be had, or a graph cannot be loaded.
        MissingExtraError: the library of the provider is not installed.
    """
    bundle.check(route.precision)
    if route.provider != "engine":
        return {
            name: OrtBackend(bundle.graph(route.precision, name), provider=route.provider, threads=threads, allow_fallback=allow_fallback)
            for name in graphs
        }
    failure = "there is no GPU to run them" if device.gpu is None else engine_failure(bundle, route.precision, device)
    if failure is None:
        from wsra.runtime.backends.trt import TrtBackend

        assert device.gpu is not None
        folder = engines_here(bundle, device) / route.precision
        return {name: TrtBackend(folder / f"{name}.plan", device_name=device.gpu.name) for name in graphs}
    if allow_fallback:
        return open_route(bundle, Route(route.precision, "cpu"), device, graphs=graphs, threads=threads)
    raise BackendError(
        f"{bundle.folder}: the engines of {route.precision} cannot run here ({failure}); build them with wsra build {bundle.folder},"
        " or accept ONNX Runtime on the CPU with --allow-fallback"
    )


def choose(bundle: Bundle, device: Device, precision: str = "auto", provider: str = "auto") -> Route:
    """Resolve "auto": the fastest route that passed `wsra verify` on this device; before that, FP32 on the CPU.

    Args:
        bundle: an open bundle.
        device: this machine.
        precision: one of the bundle's, or "auto".
        provider: "cpu", "cuda", "tensorrt", "engine" or "auto".

    Raises:
        BundleError: the bundle has no such precision, or it failed its gate.
    """
    if precision != "auto":
        bundle.check(precision)
    verified = [
        (entry["ms_per_query"], Route(entry["precision"], entry["provider_asked"]))
        for entry in read_record(bundle, device).values()
        if entry["passed"]
        and entry.get("engine_sha256") == engine_digest(bundle, device, Route(entry["precision"], entry["provider_asked"]))
        and entry["precision"] in bundle.passed()
        and precision in ("auto", entry["precision"])
        and provider in ("auto", entry["provider_asked"])
    ]
    if verified:
        limit_ms = (1 + NOISE) * min(milliseconds for milliseconds, _ in verified)
        return min(
            (route for milliseconds, route in verified if milliseconds <= limit_ms), key=lambda route: PRECISIONS.index(route.precision)
        )
    chosen: Provider = "cpu" if provider == "auto" else provider  # type: ignore[assignment]
    if precision != "auto":
        return Route(precision, chosen)
    if not bundle.passed():
        raise BundleError(f"{bundle.folder}: no precision passed its gate; export the bundle again")
    return Route("fp32" if "fp32" in bundle.passed() else bundle.passed()[0], chosen)


def engine_digest(bundle: Bundle, device: Device, route: Route) -> str | None:
    """Digest of the sidecar of a route's engines, so that a record of other engines does not count; None without engines."""
    if route.provider != "engine":
        return None
    try:
        return sha256_of(engines_here(bundle, device) / route.precision / SIDECAR)
    except (WsraError, OSError):
        return None


def record_path(bundle: Bundle, device: Device) -> Path:
    """Where the record of this device lies in a bundle."""
    return bundle.folder / RECORDS / f"{device.name}.json"


def read_record(bundle: Bundle, device: Device) -> dict[str, dict[str, Any]]:
    """What `wsra verify` found on this device: route -> entry. Empty where it has not run on this bundle with these libraries."""
    try:
        table = json.loads(record_path(bundle, device).read_text(encoding="utf-8"))
        routes: dict[str, dict[str, Any]] = table["routes"] if table["of"] == _of(bundle) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return routes


def write_record(bundle: Bundle, device: Device, entries: dict[str, dict[str, Any]]) -> None:
    """Keep what `wsra verify` found; entries of other routes stay.

    Raises:
        OutputError: the bundle cannot be written.
    """
    path, routes = record_path(bundle, device), read_record(bundle, device) | entries
    with replacing(path) as part:
        part.write_text(json.dumps({"of": _of(bundle), "routes": routes}, indent=1) + "\n", encoding="utf-8")


def _of(bundle: Bundle) -> dict[str, str]:
    """What a record holds for: the graphs, and the libraries that ran them."""
    versions = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    graphs = {name: digest for name, digest in bundle.manifest.files.items() if name.endswith(".onnx")}
    return {**graphs, **versions}
