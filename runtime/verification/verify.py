"""`wsra verify`: check and time every route of a bundle on this device, and write the record that `auto` chooses by. Runs without torch."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.records import write_record
from wsra.runtime.backends.routes import Route, engines_here, routes_here
from wsra.runtime.backends.settings import KernelName, RunSettings
from wsra.runtime.bench.timing import in_turns, one_stage
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, OutputError, WsraError
from wsra.runtime.formats.bundle import GOLDEN, REJECTED, Bundle, open_bundle, reject
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.kernels.choose import AutoKernel, open_kernel
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.verification.first_answer import first_answer_ms
from wsra.runtime.verification.gates import FEWEST
from wsra.runtime.verification.golden import Golden, read_golden
from wsra.runtime.verification.reports import RouteReport
from wsra.runtime.verification.route_check import Labelled, gate_route, label_figures, read_labelled

logger = logging.getLogger(__name__)

REPEATS, WARM_UP = 20, 3
DAY = 86_400  # snippets of a second


def verify_bundle(
    folder: Path,
    *,
    precision: str = "auto",
    provider: str = "auto",
    data: Path | None = None,
    features: Path | None = None,
    threads: int = 0,
    gpu: int = 0,
) -> dict[str, RouteReport]:
    """Put the chosen routes of a bundle through both gates, time those that pass, and keep the reports.

    Args:
        folder: folder of the bundle.
        precision: one of the bundle's, or "auto" for all that passed when they were made.
        provider: one provider, or "auto" for all that start here.
        data: labelled queries, JSON lines.
        features: folder of the .feat files of their videos.
        threads: threads of ONNX Runtime on the CPU; 0 lets it decide.
        gpu: number of the GPU, from 0.

    Returns:
        Name of the route -> its report; see docs/verify.md.

    Raises:
        ConfigError: there is no such GPU; labelled queries without features, or features without labelled queries.
        BundleError: the bundle cannot be used, or the precision failed its gate when it was made.
        BackendError: no route of that precision and provider starts here.
        DataError: the labelled queries cannot be used.
    """
    if (data is None) != (features is None):
        raise ConfigError("labelled queries need both annotations and the folder of their features: give --data and --features")
    bundle, device = open_bundle(folder), this_device(gpu=gpu)
    if precision != "auto":
        bundle.check(precision)
    routes = [r for r in routes_here(bundle, device) if precision in ("auto", r.precision) and provider in ("auto", r.provider)]
    if not routes:
        raise BackendError(
            f"{folder}: nothing of it runs here with --precision {precision} --provider {provider}; see wsra doctor {folder}"
        )
    labelled = read_labelled(data, features) if data is not None and features is not None else None
    reports = verify(bundle, device, routes, labelled=labelled, threads=threads)
    for name, report in reports.items():
        if report.passed:
            logger.info(f"timing the first answer of {name} in a new process")
            first_ms = first_answer_ms(bundle.folder, report.route, gpu=gpu, threads=threads)
            reports[name] = replace(report, first_answer_ms=first_ms)
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
    for name, report in reports.items():
        if report.passed and report.device != "cpu":
            reports[name] = replace(report, scorer_ms=scorer_times(bundle, device, report.route))
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


def scorer_times(bundle: Bundle, device: Device, route: Route) -> dict[str, float]:
    """Time the scorer's graph on a GPU and the kernel of the CPU, for one sentence and the keys of a day.

    Returns:
        Name of the kernel -> median milliseconds; only the graph for a custom scorer.
    """
    rng, inputs = np.random.default_rng(0), bundle.manifest.tensors["scorer"]["inputs"]
    keys, text = (rng.normal(size=(rows, int(inputs[name][1][1]))).astype(np.float32) for name, rows in (("keys", DAY), ("text", 1)))
    times_ms: dict[str, float] = {}
    kernels: tuple[KernelName, ...] = ("graph",) if bundle.manifest.scorer == "custom" else ("graph", "auto")
    for name in kernels:
        kernel = open_kernel(bundle, route, device, RunSettings(kernel=name), on_cpu=name == "auto")
        with kernel.graph if isinstance(kernel, GraphKernel) else nullcontext():
            if isinstance(kernel, AutoKernel):
                kernel.expect(keys.size)
            run = one_stage(kernel.name, partial(kernel.logits, keys, text))
            in_turns([run], rounds=1)
            times_ms[kernel.name] = in_turns([run], rounds=WARM_UP)[kernel.name].p50_ms
    return times_ms


def _ask_next(grounder: Grounder, golden: Golden, pairs: Iterator[NDArray[np.int64]]) -> None:
    sentence, video = next(pairs)
    grounder.ground(golden.videos[video], golden.sentences[sentence], top_k=1)


logger = logging.getLogger(__name__)


def keep_reports(bundle: Bundle, device: Device, reports: Mapping[str, RouteReport]) -> Bundle:
    """Write the record of this device, and rename what disagrees with PyTorch to `.rejected`.

    Graphs that ran on the CPU and disagree are wrong everywhere, so the bundle loses that precision. Engines that disagree are renamed in
    their folder. A provider that disagrees, and a route that could not run here, are only recorded: `auto` then avoids them.

    Args:
        bundle: an open bundle.
        device: this machine.
        reports: route -> what the gates found.

    Returns:
        The bundle without the precisions that were rejected.
    """
    try:
        logger.info(f"kept in {write_record(bundle, device, {name: report.to_json() for name, report in reports.items()})}")
        for report in reports.values():
            if report.reason is None or not report.ran:
                continue
            precision = report.route.precision
            if report.route.provider == "cpu":
                bundle = reject(bundle, precision, report.reason)
                logger.info(f"{precision} is kept as {bundle.folder / precision}.rejected")
            elif report.route.provider == "engine":
                reject_engines(engines_here(bundle, device, precision), report.reason)
    except (OSError, OutputError) as err:
        logger.warning(f"{bundle.folder} cannot be changed ({err})")
    return bundle


def reject_engines(folder: Path, reason: str) -> None:
    """Rename the engines in a folder to `.rejected`, and keep the reason beside them.

    Raises:
        OSError: the folder cannot be changed.
    """
    rejected = folder.with_name(f"{folder.name}{REJECTED}")
    shutil.rmtree(rejected, ignore_errors=True)
    (folder / "reason.txt").write_text(f"{reason}\n", encoding="utf-8")
    os.replace(folder, rejected)
    logger.info(f"the engines are kept as {rejected}")
