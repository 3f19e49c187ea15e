"""`wsra verify`: every way to run a bundle on this device against its golden data, and the record that `auto` goes by.

Loads no torch and no onnx: it runs on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.routes import Route, routes_here
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.bench.timing import in_turns, one_stage
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, WsraError
from wsra.runtime.formats.bundle import GOLDEN, Bundle, open_bundle
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.verification.gates import FEWEST
from wsra.runtime.verification.golden import Golden, read_golden
from wsra.runtime.verification.keep import keep
from wsra.runtime.verification.route_check import Entry, Labelled, gate_route, label_figures, read_labelled

Say = Callable[[str], None]
REPEATS, WARM_UP = 20, 3


def verify_bundle(
    folder: Path,
    *,
    precision: str = "auto",
    provider: str = "auto",
    data: Path | None = None,
    features: Path | None = None,
    threads: int = 0,
    say: Say = print,
) -> dict[str, Entry]:
    """What `wsra verify` does: put the chosen routes through both gates, and keep what was found.

    Args:
        folder: of the bundle.
        precision: one of the bundle's, or "auto" for all that passed when they were made.
        provider: one provider, or "auto" for all that start here.
        data: labelled queries, JSON lines.
        features: folder of the .feat files of their videos.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        say: told each step.

    Returns:
        Route -> what was found; see docs/verify.md.

    Raises:
        ConfigError: labelled queries without features, or the other way round.
        BundleError: the bundle cannot be used, or the precision failed before.
        BackendError: what was asked for does not start here.
        DataError: the labelled queries cannot be used.
    """
    if (data is None) != (features is None):
        raise ConfigError("labelled queries need both annotations and the folder of their features: give --data and --features")
    bundle, device = open_bundle(folder), this_device()
    if precision != "auto":
        bundle.check(precision)
    routes = [r for r in routes_here(bundle, device) if precision in ("auto", r.precision) and provider in ("auto", r.provider)]
    if not routes:
        raise BackendError(
            f"{folder}: nothing of it runs here with --precision {precision} --provider {provider}; see wsra doctor {folder}"
        )
    labelled = read_labelled(data, features) if data is not None and features is not None else None
    entries = verify(bundle, device, routes, labelled=labelled, threads=threads, say=say)
    keep(bundle, device, entries, say)
    return entries


def verify(
    bundle: Bundle,
    device: Device,
    routes: Sequence[Route],
    *,
    labelled: Labelled | None = None,
    threads: int = 0,
    say: Say = print,
) -> dict[str, Entry]:
    """Put routes through both gates and time those that pass.

    Args:
        bundle: an open bundle.
        device: this machine.
        routes: ways to run it.
        labelled: queries with true spans; their reference is FP32 on the CPU.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        say: told each step.

    Returns:
        Route -> what was found; see docs/verify.md.

    Raises:
        BundleError: the golden data cannot be read.
    """
    golden = read_golden(bundle.folder / GOLDEN)
    if len(golden.pairs) < FEWEST:
        say(f"WARNING: {len(golden.pairs)} golden queries; agreement is judged by fewer than {FEWEST}: give more validation captions")
    if labelled is not None and len(labelled.annotations) < FEWEST:
        say(f"WARNING: {len(labelled.annotations)} labelled queries; their figures are told, not judged, below {FEWEST}")
    reference = None
    if labelled is not None:
        bundle.check("fp32")
        say(f"grounding {len(labelled.annotations)} labelled queries with fp32 on the CPU, the reference")
        with Grounder.of_route(bundle, Route("fp32", "cpu"), device, RunSettings(threads=threads)) as exact:
            reference = label_figures(exact, labelled)
    entries = {}
    for route in routes:
        say(f"verifying {route.name}: tensors at the edges, then moments of {len(golden.pairs)} queries")
        entries[route.name] = gate_route(bundle, device, route, golden, labelled=labelled, reference=reference, threads=threads)
    passed = [route for route in routes if entries[route.name]["passed"]]
    for name, taken in time_routes(bundle, device, passed, golden, threads=threads).items():
        if isinstance(taken, str):
            entries[name] |= {"passed": False, "ran": False, "reason": taken}
        else:
            entries[name]["ms_per_query"] = taken
    return entries


def time_routes(bundle: Bundle, device: Device, routes: Sequence[Route], golden: Golden, *, threads: int = 0) -> dict[str, float | str]:
    """Median milliseconds of one query, from sentence to first answer in one video whose features lie in memory; routes take turns.

    Returns:
        Route -> milliseconds, or why it failed meanwhile.
    """
    failed: dict[str, float | str] = {}
    with ExitStack() as stack:
        runs = []
        for route in routes:
            try:
                grounder = stack.enter_context(Grounder.of_route(bundle, route, device, RunSettings(threads=threads)))
            except WsraError as err:
                failed[route.name] = f"it passed, but does not open beside the others ({err})"
                continue
            runs.append(one_stage(route.name, partial(_ask_next, grounder, golden, cycle(golden.pairs))))
        in_turns(runs, rounds=WARM_UP)
        return failed | {name: times.p50_ms for name, times in in_turns(runs, rounds=REPEATS).items()}


def _ask_next(grounder: Grounder, golden: Golden, pairs: Iterator[NDArray[np.int64]]) -> None:
    sentence, video = next(pairs)
    grounder.ground(golden.videos[video], golden.sentences[sentence], top_k=1)
