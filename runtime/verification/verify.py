"""`wsra verify`: check and time every route of a bundle on this device, and write the record that `auto` chooses by. Runs without torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
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
from wsra.runtime.verification.records import keep_reports
from wsra.runtime.verification.reports import RouteReport
from wsra.runtime.verification.route_check import Labelled, gate_route, label_figures, read_labelled

logger = logging.getLogger(__name__)

REPEATS, WARM_UP = 20, 3


def verify_bundle(
    folder: Path,
    *,
    precision: str = "auto",
    provider: str = "auto",
    data: Path | None = None,
    features: Path | None = None,
    threads: int = 0,
) -> dict[str, RouteReport]:
    """Put the chosen routes of a bundle through both gates, time those that pass, and keep the reports.

    Args:
        folder: folder of the bundle.
        precision: one of the bundle's, or "auto" for all that passed when they were made.
        provider: one provider, or "auto" for all that start here.
        data: labelled queries, JSON lines.
        features: folder of the .feat files of their videos.
        threads: threads of ONNX Runtime on the CPU; 0 lets it decide.

    Returns:
        Name of the route -> its report; see docs/verify.md.

    Raises:
        ConfigError: labelled queries without features, or features without labelled queries.
        BundleError: the bundle cannot be used, or the precision failed its gate when it was made.
        BackendError: no route of that precision and provider starts here.
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
    reports = verify(bundle, device, routes, labelled=labelled, threads=threads)
    keep_reports(bundle, device, reports)
    return reports


def verify(
    bundle: Bundle,
    device: Device,
    routes: Sequence[Route],
    *,
    labelled: Labelled | None = None,
    threads: int = 0,
) -> dict[str, RouteReport]:
    """Put routes through both gates and time those that pass.

    Args:
        bundle: an open bundle.
        device: this machine.
        routes: ways to run it.
        labelled: queries with true spans; their reference is FP32 on the CPU.
        threads: threads of ONNX Runtime on the CPU; 0 lets it decide.

    Returns:
        Name of the route -> its report; see docs/verify.md.

    Raises:
        BundleError: the golden data cannot be read.
    """
    golden = read_golden(bundle.folder / GOLDEN)
    if len(golden.pairs) < FEWEST:
        logger.warning(f"{len(golden.pairs)} golden queries; agreement is uncertain below {FEWEST}: give more validation captions")
    if labelled is not None and len(labelled.annotations) < FEWEST:
        logger.warning(f"{len(labelled.annotations)} labelled queries; below {FEWEST} their figures are reported, but cannot fail the gate")
    reference = None
    if labelled is not None:
        bundle.check("fp32")
        logger.info(f"grounding {len(labelled.annotations)} labelled queries with fp32 on the CPU, the reference")
        with Grounder.of_route(bundle, Route("fp32", "cpu"), device, RunSettings(threads=threads)) as exact:
            reference = label_figures(exact, labelled)
    reports = {}
    for route in routes:
        logger.info(f"verifying {route.name}: tensors at the edges, then moments of {len(golden.pairs)} queries")
        reports[route.name] = gate_route(bundle, device, route, golden, labelled=labelled, reference=reference, threads=threads)
    passed = [route for route in routes if reports[route.name].passed]
    times_ms, failures = time_routes(bundle, device, passed, golden, threads=threads)
    for name, time_ms in times_ms.items():
        reports[name] = replace(reports[name], ms_per_query=time_ms)
    for name, reason in failures.items():
        reports[name] = replace(reports[name], ran=False, reason=reason)
    return reports


def time_routes(
    bundle: Bundle, device: Device, routes: Sequence[Route], golden: Golden, *, threads: int = 0
) -> tuple[dict[str, float], dict[str, str]]:
    """Time one query, from the sentence to the first answer in one video whose features lie in memory. Routes are timed in turns.

    Returns:
        Name of the route -> median milliseconds, and name -> reason for routes that could not be opened together with the others.
    """
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        runs = []
        for route in routes:
            try:
                grounder = stack.enter_context(Grounder.of_route(bundle, route, device, RunSettings(threads=threads)))
            except WsraError as err:
                failures[route.name] = f"it passed, but cannot be opened together with the others ({err})"
                continue
            runs.append(one_stage(route.name, partial(_ask_next, grounder, golden, cycle(golden.pairs))))
        in_turns(runs, rounds=WARM_UP)
        return {name: times.p50_ms for name, times in in_turns(runs, rounds=REPEATS).items()}, failures


def _ask_next(grounder: Grounder, golden: Golden, pairs: Iterator[NDArray[np.int64]]) -> None:
    sentence, video = next(pairs)
    grounder.ground(golden.videos[video], golden.sentences[sentence], top_k=1)
