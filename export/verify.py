"""`wsra verify`: every way to run a bundle on this device against its golden data, and the record that `auto` goes by.

Loads no torch and no onnx: it runs on the device.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.export.gates import FEWEST, Limits, first_moments, grounding_gate, label_gate, limits_of, tensor_gate
from wsra.export.golden import Golden, read_golden
from wsra.runtime.annotations import Annotation, read_annotations
from wsra.runtime.backends.protocol import Arrays, Backend
from wsra.runtime.backends.routes import Route, engines_here, open_route, routes_here, write_record
from wsra.runtime.bench.timing import in_turns, one_stage
from wsra.runtime.bundle import GOLDEN, REJECTED, Bundle, open_bundle, reject
from wsra.runtime.devices.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, DataError, MissingExtraError, OutputError, WsraError
from wsra.runtime.evaluation.metrics import Figures, figures
from wsra.runtime.features import Features, read_features
from wsra.runtime.ground import Grounder
from wsra.runtime.score import SnippetScorer

Say = Callable[[str], None]
Entry = dict[str, Any]
REPEATS, WARM_UP = 20, 3


@dataclass(frozen=True)
class Labelled:
    """Queries with true spans, and the features of their videos."""

    annotations: Sequence[Annotation]
    videos: Mapping[str, Features]


def read_labelled(path: Path, folder: Path) -> Labelled:
    """Read annotations and the .feat files of their videos.

    Raises:
        DataError: a row is wrong, or no query has a span.
        FeatureError: features are missing or cannot be used.
    """
    annotations = [annotation for annotation in read_annotations(path) if annotation.windows_s]
    if not annotations:
        raise DataError(f"{path}: no query with relevant_windows; expected annotations with true spans")
    return Labelled(annotations, {name: read_features(folder / f"{name}.feat") for name in {a.vid for a in annotations}})


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
        reference = label_figures(Grounder.of_route(bundle, Route("fp32", "cpu"), device, threads=threads), labelled)
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


def gate_route(
    bundle: Bundle,
    device: Device,
    route: Route,
    golden: Golden,
    *,
    labelled: Labelled | None = None,
    reference: Figures | None = None,
    threads: int = 0,
) -> Entry:
    """Put one route through both gates.

    Args:
        bundle: an open bundle.
        device: this machine.
        route: what to run.
        golden: of the bundle.
        labelled: queries with true spans.
        reference: figures of FP32 on the CPU on them.
        threads: of ONNX Runtime on the CPU.

    Returns:
        What was found: `passed`, `reason` and what was measured.
    """
    entry: Entry = {"passed": False, "ran": False, "reason": None}
    entry |= {"precision": route.precision, "provider_asked": route.provider, "threads": threads}
    try:
        grounder = Grounder.of_route(bundle, route, device, threads=threads)
    except (BackendError, MissingExtraError) as err:  # it cannot be had here, which says nothing of the graphs
        return entry | {"reason": str(err)}
    with grounder:
        entry |= {"provider": grounder.scorer.provider, "device": grounder.scorer.device, "kernel": grounder.scorer.kernel}
        entry |= {"bytes": _bytes(bundle, device, route)}
        backends = {"text": grounder.encoder.backend} | dict(zip(("keys", "scorer"), grounder.scorer.graphs, strict=False))
        try:
            more = [name for name in bundle.graphs if name not in backends]
            backends |= open_route(bundle, route, device, graphs=more, threads=threads)
            limits = limits_of(route.precision, grounder.scorer.device)
            found, wrong = _through_the_gates(grounder, backends, golden, limits, labelled, reference)
        except (BackendError, MissingExtraError) as err:
            return entry | {"reason": str(err)}
    return entry | {"passed": not wrong, "ran": True, "reason": "; ".join(wrong) or None} | found


class _KernelOutputs:
    """A kernel with the outputs of the scorer's graph."""

    def __init__(self, scorer: SnippetScorer) -> None:
        self._scorer = scorer

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Scores and logits (Q, N) of keys and text."""
        logits = self._scorer.logits(feeds["keys"], feeds["text"])
        return {"scores": 1.0 / (1.0 + np.exp(-logits.astype(np.float64))), "logits": logits}


def _through_the_gates(
    grounder: Grounder,
    backends: Mapping[str, Backend],
    golden: Golden,
    limits: Limits,
    labelled: Labelled | None,
    reference: Figures | None,
) -> tuple[Entry, list[str]]:
    tensors: dict[str, dict[str, float]] = {}
    wrong: list[str] = []
    for name, backend in backends.items():
        found, told = tensor_gate(backend, golden.edges[name], limits)
        tensors |= found
        wrong += told
    if grounder.scorer.kernel != "graph":  # what ground takes instead of the scorer's graph
        kernel, told = tensor_gate(_KernelOutputs(grounder.scorer), golden.edges["scorer"], limits)
        tensors |= {f"{name} ({grounder.scorer.kernel})": entry for name, entry in kernel.items()}
        wrong += [f"kernel {grounder.scorer.kernel}: {line}" for line in told]
    words, told = tensor_gate(backends["text"], golden.edges["words"], replace(limits, cosine=limits.words, vectors=np.inf))
    tensors |= {name.replace("text", "words"): entry for name, entry in words.items()}
    wrong += [f"any words: {line}" for line in told]
    if any("NaN" in line for line in wrong):  # then no moment means anything
        return {"tensors": tensors}, wrong
    grounding, told = grounding_gate(grounder, golden, limits)
    wrong += told
    if labelled is not None and reference is not None:
        grounding["labelled"], told = label_gate(label_figures(grounder, labelled), reference, limits)
        wrong += told
    return {"tensors": tensors, "grounding": grounding}, wrong


def label_figures(grounder: Grounder, labelled: Labelled) -> Figures:
    """Figures of first answers on labelled queries."""
    names, sentences = list(labelled.videos), list(dict.fromkeys(a.query for a in labelled.annotations))
    number = {sentence: i for i, sentence in enumerate(sentences)}
    pairs = np.array([(number[a.query], names.index(a.vid)) for a in labelled.annotations], np.int64)
    found = first_moments(grounder, list(labelled.videos.values()), sentences, pairs)
    answers = [span[None] if np.isfinite(span).all() else np.zeros((0, 2)) for span in found]
    return figures(answers, [np.array(a.windows_s).reshape(-1, 2) for a in labelled.annotations])


def _bytes(bundle: Bundle, device: Device, route: Route) -> int:
    folder, suffix = bundle.folder, "onnx"
    if route.provider == "engine":
        folder, suffix = engines_here(bundle, device), "plan"
    return sum((folder / route.precision / f"{name}.{suffix}").stat().st_size for name in bundle.graphs)


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
                grounder = stack.enter_context(Grounder.of_route(bundle, route, device, threads=threads))
            except WsraError as err:
                failed[route.name] = f"it passed, but does not open beside the others ({err})"
                continue
            runs.append(one_stage(route.name, partial(_ask_next, grounder, golden, cycle(golden.pairs))))
        in_turns(runs, rounds=WARM_UP)
        return failed | {name: times.p50_ms for name, times in in_turns(runs, rounds=REPEATS).items()}


def _ask_next(grounder: Grounder, golden: Golden, pairs: Iterator[NDArray[np.int64]]) -> None:
    sentence, video = next(pairs)
    grounder.ground(golden.videos[video], golden.sentences[sentence], top_k=1)


def keep(bundle: Bundle, device: Device, entries: Mapping[str, Entry], say: Say = print) -> Bundle:
    """Keep what was found: the record of this device, and what disagrees with PyTorch renamed to `.rejected`.

    Graphs that ran on the CPU and disagree are wrong everywhere and leave the bundle's precisions; engines are renamed in their folder.
    A provider that disagrees, and whatever could not run here, is kept from `auto` by the record alone.

    Returns:
        The bundle without what was rejected.
    """
    try:
        say(f"kept in {write_record(bundle, device, dict(entries))}")
        for entry in entries.values():
            if entry["passed"] or not entry["ran"]:
                continue
            if entry["provider_asked"] == "cpu":
                bundle = reject(bundle, entry["precision"], entry["reason"])
                say(f"{entry['precision']} is kept as {bundle.folder / entry['precision']}.rejected")
            elif entry["provider_asked"] == "engine":
                _reject_engines(engines_here(bundle, device) / entry["precision"], entry["reason"], say)
    except (OSError, OutputError) as err:
        say(f"WARNING: {bundle.folder} cannot be changed ({err})")
    return bundle


def _reject_engines(folder: Path, reason: str, say: Say) -> None:
    rejected = folder.with_name(f"{folder.name}{REJECTED}")
    shutil.rmtree(rejected, ignore_errors=True)
    os.replace(folder, rejected)
    (rejected / "reason.txt").write_text(f"{reason}\n", encoding="utf-8")
    say(f"the engines are kept as {rejected}")
