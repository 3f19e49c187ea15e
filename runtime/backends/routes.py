"""Ways to run a bundle on this device: which precision on which provider; what was verified here; which is fastest."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from wsra.runtime.backends.engines import SIDECAR, engines_folder, misfit, read_sidecar
from wsra.runtime.backends.ort import OrtBackend, start_failure
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.backends.settings import DEFAULT, Provider, RunSettings
from wsra.runtime.device import Device
from wsra.runtime.errors import BackendError, BundleError, WsraError
from wsra.runtime.files.reading import read_json
from wsra.runtime.files.typed import from_table
from wsra.runtime.files.writing import replacing, sha256_of
from wsra.runtime.formats.bundle import GOLDEN, GRAPHS, PRECISIONS, SCORER, Bundle

EVERY_PROVIDER: tuple[Provider, ...] = get_args(Provider)
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
    if device.gpu is None:
        return "there is no GPU to run them"
    try:
        folder = engines_here(bundle, device) / precision
        library, version = _library(device)
        graphs = {name: bundle.graph(precision, name) for name in bundle.graphs}
        return misfit(read_sidecar(folder / SIDECAR), folder, graphs, device, library, version)
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
        return OrtBackend(path, provider=route.provider, threads=settings.threads, allow_fallback=settings.allow_fallback)
    from wsra.runtime.backends.trt import TrtBackend

    assert device.gpu is not None
    return TrtBackend(engines_here(bundle, device) / route.precision / f"{name}.plan", device_name=device.gpu.name)


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


def choose(bundle: Bundle, device: Device, settings: RunSettings = DEFAULT) -> Route:
    """Resolve "auto" of precision and provider: the fastest route that passed `wsra verify` on this device; before that, FP32 on the CPU.

    Without ONNX Runtime, or for engines, it is the most precise one whose engines fit. What failed here is never taken.

    Args:
        bundle: an open bundle.
        device: this machine.
        settings: the precision and the provider that were asked for.

    Raises:
        BundleError: the bundle has no such precision, or what was asked for failed a gate.
    """
    precision, provider = settings.precision, settings.provider
    if precision != "auto":
        bundle.check(precision)
    record = read_record(bundle, device)
    asked = [
        Route(name, way)
        for name in sorted(bundle.passed(), key=PRECISIONS.index)
        for way in EVERY_PROVIDER
        if precision in ("auto", name) and provider in ("auto", way)
    ]
    failed = [route for route in asked if route.name in record and not record[route.name]["passed"]]
    left = [route for route in asked if route not in failed]
    measured = _measured_ms(record)
    verified = {route: measured[route.name] for route in left if route.name in measured}
    if verified:
        limit_ms = (1 + NOISE) * min(verified.values())
        return next(route for route in left if verified.get(route, np.inf) <= limit_ms)  # the most precise one comes first
    runs = [route for route in left if route.provider != "engine" or engine_failure(bundle, route.precision, device) is None]
    if provider != "auto":
        unverified = [route for route in runs if route.provider == provider] or [route for route in left if route.provider == provider]
    else:  # engines where there is no ONNX Runtime
        engines = [] if find_spec("onnxruntime") else [route for route in runs if route.provider == "engine"]
        unverified = engines or [route for route in left if route.provider == "cpu"]
    if not unverified:
        reasons = "; ".join(f"{route.name}: {record[route.name]['reason']}" for route in failed) or "no precision passed its gate"
        raise BundleError(f"{bundle.folder}: nothing to run ({reasons}); export or build it again, then wsra verify")
    return unverified[0]


def record_paths(bundle: Bundle, device: Device) -> tuple[Path, Path]:
    """Where the record of this device lies: in the bundle, or where that cannot be written, in the user's state folder."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    golden = bundle.manifest.files.get("golden.safetensors", "")
    return bundle.folder / RECORDS / f"{device.name}.json", state / "wsra" / RECORDS / golden[:16] / f"{device.name}.json"


def read_record(bundle: Bundle, device: Device) -> dict[str, dict[str, Any]]:
    """What `wsra verify` found on this device: route -> entry, of these very graphs and libraries only."""
    record: dict[str, dict[str, Any]] = {}
    for path in record_paths(bundle, device):
        if not path.exists():
            continue
        try:
            table = read_json(path, error=BundleError, hint="run wsra verify again")
        except BundleError:
            continue
        for name, entry in table.items() if isinstance(table, dict) else ():
            route = _checked_route(entry)
            if route is not None and route.name == name and entry["of"] == what_it_holds_for(bundle, device, route):
                record[name] = entry
    return record


def measured_ms(bundle: Bundle, device: Device) -> dict[str, float]:
    """Milliseconds per query of each route that `wsra verify` measured on this device, by the name of the route."""
    return _measured_ms(read_record(bundle, device))


def _measured_ms(record: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: float(entry["ms_per_query"]) for name, entry in record.items() if "ms_per_query" in entry}


def write_record(bundle: Bundle, device: Device, entries: dict[str, dict[str, Any]]) -> Path:
    """Keep what `wsra verify` found; what holds still of other routes stays.

    Returns:
        Where it is kept.

    Raises:
        OutputError: neither the bundle nor the user's state folder can be written.
    """
    known = read_record(bundle, device) | {
        name: {**entry, "of": what_it_holds_for(bundle, device, _route(entry))} for name, entry in entries.items()
    }
    inside, outside = record_paths(bundle, device)
    path = inside if os.access(bundle.folder, os.W_OK) else outside
    with replacing(path) as part:
        part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Noted:
    """What is read of an entry of a record."""

    precision: Literal["fp32", "fp16", "int8"]
    provider_asked: Provider
    passed: bool
    of: dict[str, str]
    reason: str | None = None
    ms_per_query: float = 1.0


def _checked_route(entry: Any) -> Route | None:
    """The route of an entry; None where it is not one that `wsra verify` writes, and the route is as if it had never been verified."""
    try:
        noted = from_table(_Noted, {key: entry[key] for key in _Noted.__dataclass_fields__ if key in entry})
    except (ValueError, TypeError):
        return None
    return Route(noted.precision, noted.provider_asked) if noted.ms_per_query > 0 else None


def _route(entry: dict[str, Any]) -> Route:
    return Route(entry["precision"], entry["provider_asked"])


def what_it_holds_for(bundle: Bundle, device: Device, route: Route) -> dict[str, str]:
    """What a record of a route was found with: golden data, graphs or engines, the kernel's weights, and the libraries that ran them."""
    files = bundle.manifest.files
    held = {name: digest for name, digest in files.items() if name in (GOLDEN, SCORER) or name.startswith(f"{route.precision}/")}
    if route.provider == "engine":
        try:
            return held | {SIDECAR: sha256_of(engines_here(bundle, device) / route.precision / SIDECAR)}
        except (WsraError, OSError):
            return held | {SIDECAR: "none"}
    return held | _libraries()


@cache
def _libraries() -> dict[str, str]:
    """Versions of what runs graphs and keys; with numba installed or removed, ground takes another kernel."""
    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu", "numba"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
