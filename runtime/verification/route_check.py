"""Check one route: put its tensors, at the edges of their shapes, and its moments through the gates. Runs on the device, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Arrays, Backend
from wsra.runtime.backends.routes import Route, engines_here, open_route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import Device
from wsra.runtime.errors import BackendError, BundleError, DataError, MissingExtraError
from wsra.runtime.evaluation.metrics import Figures, figures
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.names import feat_of
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.bundle import GOLDEN, Bundle
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.kernels.choose import kernels_on_cpu, open_kernel
from wsra.runtime.kernels.protocol import Kernel
from wsra.runtime.verification.gates import Limits, first_moments, grounding_gate, label_gate, limits_of, tensor_gate
from wsra.runtime.verification.golden import Golden
from wsra.runtime.verification.reports import GroundingReport, RouteReport, TensorReport


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
    paths = {name: feat_of(folder, name, error=DataError, source=path) for name in {a.vid for a in annotations}}
    return Labelled(annotations, {name: read_features(feat) for name, feat in paths.items()})


def gate_route(
    bundle: Bundle,
    device: Device,
    route: Route,
    golden: Golden,
    *,
    labelled: Labelled | None = None,
    reference: Figures | None = None,
    threads: int = 0,
) -> RouteReport:
    """Put one route through both gates.

    Args:
        bundle: an open bundle.
        device: this machine.
        route: what to run.
        golden: golden data of the bundle.
        labelled: queries with true spans.
        reference: figures of FP32 on the CPU on these queries.
        threads: threads of ONNX Runtime on the CPU.

    Returns:
        What was measured, and the reason if the route failed.
    """
    report = RouteReport(route, threads, reason=None, ran=False)
    settings = RunSettings(threads=threads)
    try:
        grounder = Grounder.of_route(bundle, route, device, settings)
    except (BackendError, MissingExtraError) as err:  # unavailable here, which does not mean that the graphs are wrong
        return replace(report, reason=str(err))
    with grounder, ExitStack() as opened:
        scorer = grounder.scorer
        report = replace(
            report, provider=scorer.provider, device=scorer.device, kernel=scorer.kernel.name, bytes=_bytes(bundle, device, route)
        )
        backends = {"text": grounder.encoder.backend} | dict(zip(("keys", "scorer"), scorer.graphs, strict=False))
        try:
            others = [name for name in bundle.graphs if name not in backends]
            backends |= {
                name: opened.enter_context(graph) for name, graph in open_route(bundle, route, device, settings, graphs=others).items()
            }
            kernels = _kernels(grounder, bundle, route, device, settings)
            limits = limits_of(route.precision, scorer.device)
            with one_file(bundle.folder / GOLDEN, BundleError, hint="copy or export the bundle again."):
                tensors, failures = _gate_tensors(backends, kernels, golden, limits)
                grounding = None
                if not any("NaN" in failure for failure in failures):  # otherwise no moment means anything
                    grounding, more = _gate_moments(grounder, golden, limits, labelled, reference)
                    failures += more
        except (BackendError, MissingExtraError) as err:
            return replace(report, reason=str(err))
    return replace(report, reason="; ".join(failures) or None, ran=True, tensors=tensors, grounding=grounding)


def _kernels(grounder: Grounder, bundle: Bundle, route: Route, device: Device, settings: RunSettings) -> list[Kernel]:
    """The kernels that `ground` runs instead of the scorer's graph. On the CPU, which of them depends on the amount of work."""
    if grounder.scorer.kernel.name == "graph":
        return []
    return [open_kernel(bundle, route, device, replace(settings, kernel=name), on_cpu=True) for name in kernels_on_cpu()]


class _KernelOutputs:
    """A kernel with the outputs of the scorer's graph."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Scores and logits (Q, N) of keys and text."""
        logits = self._kernel.logits(feeds["keys"], feeds["text"])
        return {"scores": 1.0 / (1.0 + np.exp(-logits.astype(np.float64))), "logits": logits}


def _gate_tensors(
    backends: Mapping[str, Backend], kernels: Sequence[Kernel], golden: Golden, limits: Limits
) -> tuple[dict[str, TensorReport], list[str]]:
    """Reports of all outputs of the graphs and the kernels, and the failures."""
    reports: dict[str, TensorReport] = {}
    failures: list[str] = []
    for graph, backend in backends.items():
        found, wrong = tensor_gate(backend, golden.edges[graph], limits)
        reports |= found
        failures += wrong
    for kernel in kernels:
        found, wrong = tensor_gate(_KernelOutputs(kernel), golden.edges["scorer"], limits)
        reports |= {f"{name} ({kernel.name})": report for name, report in found.items()}
        failures += [f"kernel {kernel.name}: {failure}" for failure in wrong]
    found, wrong = tensor_gate(backends["text"], golden.edges["words"], replace(limits, cosine=limits.words, vectors=np.inf))
    reports |= {name.replace("text", "words"): report for name, report in found.items()}
    failures += [f"any words: {failure}" for failure in wrong]
    return reports, failures


def _gate_moments(
    grounder: Grounder, golden: Golden, limits: Limits, labelled: Labelled | None, reference: Figures | None
) -> tuple[GroundingReport, list[str]]:
    """Report of the golden queries and of the labelled ones, and the failures."""
    report, failures = grounding_gate(grounder, golden, limits)
    if labelled is None or reference is None:
        return report, failures
    of_labelled, more = label_gate(label_figures(grounder, labelled), reference, limits)
    return replace(report, labelled=of_labelled), failures + more


def label_figures(grounder: Grounder, labelled: Labelled) -> Figures:
    """Figures of first answers on labelled queries, found or not: these are true of their videos."""
    names, sentences = list(labelled.videos), list(dict.fromkeys(a.query for a in labelled.annotations))
    number = {sentence: i for i, sentence in enumerate(sentences)}
    pairs = np.array([(number[a.query], names.index(a.vid)) for a in labelled.annotations], np.int64)
    found, _ = first_moments(grounder, list(labelled.videos.values()), sentences, pairs)
    answers = [span[None] if np.isfinite(span).all() else np.zeros((0, 2)) for span in found]
    return figures(answers, [np.array(a.windows_s).reshape(-1, 2) for a in labelled.annotations])


def _bytes(bundle: Bundle, device: Device, route: Route) -> int:
    if route.provider == "engine":
        return sum((engines_here(bundle, device, route.precision) / f"{name}.plan").stat().st_size for name in bundle.graphs)
    return sum((bundle.folder / route.precision / f"{name}.onnx").stat().st_size for name in bundle.graphs)
