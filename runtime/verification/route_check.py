"""One way to run a bundle through both gates: tensors at the edges of their shapes, and moments.

Loads no torch and no onnx: it runs on the device.
"""

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

Entry = dict[str, Any]


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
    settings = RunSettings(threads=threads)
    try:
        grounder = Grounder.of_route(bundle, route, device, settings)
    except (BackendError, MissingExtraError) as err:  # it cannot be had here, which says nothing of the graphs
        return entry | {"reason": str(err)}
    with grounder, ExitStack() as opened:
        entry |= {"provider": grounder.scorer.provider, "device": grounder.scorer.device, "kernel": grounder.scorer.kernel.name}
        entry |= {"bytes": _bytes(bundle, device, route)}
        backends = {"text": grounder.encoder.backend} | dict(zip(("keys", "scorer"), grounder.scorer.graphs, strict=False))
        try:
            more = [name for name in bundle.graphs if name not in backends]
            backends |= {
                name: opened.enter_context(graph) for name, graph in open_route(bundle, route, device, settings, graphs=more).items()
            }
            kernels = _kernels(grounder, bundle, route, device, settings)
            limits = limits_of(route.precision, grounder.scorer.device)
            with one_file(bundle.folder / GOLDEN, BundleError, hint="copy or export the bundle again."):
                found, wrong = _through_the_gates(grounder, backends, kernels, golden, limits, labelled, reference)
        except (BackendError, MissingExtraError) as err:
            return entry | {"reason": str(err)}
    return entry | {"passed": not wrong, "ran": True, "reason": "; ".join(wrong) or None} | found


def _kernels(grounder: Grounder, bundle: Bundle, route: Route, device: Device, settings: RunSettings) -> list[Kernel]:
    """What `ground` takes instead of the scorer's graph: on the CPU one kernel or another by how much there is to score."""
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


def _through_the_gates(
    grounder: Grounder,
    backends: Mapping[str, Backend],
    kernels: Sequence[Kernel],
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
    for kernel in kernels:
        found, told = tensor_gate(_KernelOutputs(kernel), golden.edges["scorer"], limits)
        tensors |= {f"{name} ({kernel.name})": entry for name, entry in found.items()}
        wrong += [f"kernel {kernel.name}: {line}" for line in told]
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
