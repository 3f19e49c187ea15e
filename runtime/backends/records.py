"""The record of a device: what `wsra verify` found and measured of each route, valid for these very graphs and libraries."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from math import inf
from pathlib import Path
from typing import Any, Literal

from wsra.runtime.backends.engines import SIDECAR
from wsra.runtime.backends.ranking import Times
from wsra.runtime.backends.routes import Route, engines_here
from wsra.runtime.backends.settings import Provider
from wsra.runtime.device import Device
from wsra.runtime.errors import BundleError, WsraError
from wsra.runtime.files.reading import read_json
from wsra.runtime.files.typed import from_table
from wsra.runtime.files.writing import replacing, sha256_of
from wsra.runtime.formats.bundle import GOLDEN, SCORER, Bundle

RECORDS = "verified"


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
    """Steady milliseconds per query of each route that `wsra verify` measured on this device, by the name of the route."""
    return {name: times.steady_ms for name, times in times_of(read_record(bundle, device)).items()}


def times_of(record: Mapping[str, Mapping[str, Any]]) -> dict[str, Times]:
    """The times of each route that was measured, by its name."""
    return {
        name: Times(entry.get("first_answer_ms"), float(entry["ms_per_query"])) for name, entry in record.items() if "ms_per_query" in entry
    }


def picture_ms(record: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Milliseconds per picture of the encoder or the detector on each route that passed and was timed, by the name of the route."""
    return {name: float(entry["ms_per_picture"]) for name, entry in record.items() if entry["passed"] and "ms_per_picture" in entry}


def graph_scores_faster(bundle: Bundle, device: Device, route: Route) -> bool:
    """Whether `wsra verify` found that the scorer's graph on this route's GPU is faster than the kernels of the CPU."""
    times = read_record(bundle, device).get(route.name, {}).get("scorer_ms", {})
    return "graph" in times and times["graph"] < min((time for name, time in times.items() if name != "graph"), default=inf)


def write_record(bundle: Bundle, device: Device, entries: dict[str, dict[str, Any]]) -> Path:
    """Keep what `wsra verify` found; what holds still of other routes stays.

    Returns:
        Where it is kept.

    Raises:
        OutputError: neither the bundle nor the user's state folder can be written.
    """
    known = read_record(bundle, device) | {
        name: {**entry, "of": what_it_holds_for(bundle, device, Route(entry["precision"], entry["provider_asked"]))}
        for name, entry in entries.items()
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
    first_answer_ms: float | None = None
    scorer_ms: dict[str, float] | None = None
    ms_per_picture: float | None = None


def _checked_route(entry: Any) -> Route | None:
    """The route of an entry; None where it is not one that `wsra verify` writes, and the route is as if it had never been verified."""
    try:
        noted = from_table(_Noted, {key: entry[key] for key in _Noted.__dataclass_fields__ if key in entry})
    except (ValueError, TypeError):
        return None
    once = [time for time in (noted.first_answer_ms, noted.ms_per_picture) if time is not None]
    times = [noted.ms_per_query, *once, *(noted.scorer_ms or {}).values()]
    return Route(noted.precision, noted.provider_asked) if min(times) > 0 else None


def what_it_holds_for(bundle: Bundle, device: Device, route: Route) -> dict[str, str]:
    """What a record of a route was found with: golden data, graphs or engines, the kernel's weights, and the libraries that ran them."""
    files = bundle.manifest.files
    held = {name: digest for name, digest in files.items() if name in (GOLDEN, SCORER) or name.startswith(f"{route.precision}/")}
    if route.provider == "engine":
        try:
            return held | {SIDECAR: sha256_of(engines_here(bundle, device, route.precision) / SIDECAR)}
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
