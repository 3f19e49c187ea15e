"""Gates for what a CPU cannot see by running a graph: half precision rounded at every node, and sums of INT8 products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tokenizers import Tokenizer

from wsra.calib.peaks import Peaks, Wide, observe
from wsra.calib.ranges import Feeds
from wsra.calib.sums import SumsReport, integer_sums
from wsra.export.half import RoundedBackend
from wsra.export.onnx import read_onnx
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.formats.bundle import TOKENIZER, Bundle
from wsra.runtime.verification.gates import LIMITS, Limits, SupportsInfer, tensor_gate
from wsra.runtime.verification.golden import Case, Golden
from wsra.runtime.verification.reports import TensorReport

_TOKENS, _SENTENCES = 64, 32  # of a call with words from the vocabulary
_FAR = 4.0  # extreme features lie so many spans outside of the span of each feature


@dataclass(frozen=True)
class HalfReport:
    """What was found of the graphs of one precision.

    Attributes:
        tensors: output -> its errors against PyTorch with every node rounded; for extreme inputs, against FP32.
        kept: graph -> (operator, reason) -> how many nodes stay in FP32, and the largest number or sum seen there.
        sums: of the graphs with INT8 products.
        failures: one line each.
    """

    tensors: Mapping[str, TensorReport]
    kept: Mapping[str, Mapping[tuple[str, str], tuple[int, float]]]
    sums: Sequence[SumsReport]
    failures: Sequence[str]

    @property
    def reason(self) -> str | None:
        """Why the graphs fail, in one line; None when they pass."""
        return "; ".join(self.failures) or None

    def to_json(self) -> dict[str, Any]:
        """The parts `rounded` and, for INT8, `integer_sums` of an entry of docs/schema/gate.json."""
        kept = [
            {"graph": graph, "operator": operator, "why": why, "nodes": nodes, "peak": peak}
            for graph, groups in self.kept.items()
            for (operator, why), (nodes, peak) in groups.items()
        ]
        rounded = {"tensors": {name: report.to_json() for name, report in self.tensors.items()}, "kept_in_fp32": kept}
        return {"rounded": rounded} | ({"integer_sums": [one.to_json() for one in self.sums]} if self.sums else {})


def extreme_inputs(bundle: Bundle, golden: Golden) -> dict[str, list[Feeds]]:
    """Inputs at which half precision overflows first: every word of the vocabulary, and features and images far from the usual ones.

    Args:
        bundle: with its graphs in FP32.
        golden: golden data of the bundle.

    Returns:
        graph -> feeds; for the scorer, outputs of the two other graphs for some of these.
    """
    vocabulary = Tokenizer.from_file(str(bundle.folder / TOKENIZER)).get_vocab_size()
    words = words_packed(vocabulary, most=int(bundle.manifest.text["max_tokens"]))
    features = [{"features": far_features(np.concatenate([video.rows(0, len(video)) for video in golden.videos if len(video)]))}]
    found: dict[str, list[Feeds]] = {"text": list(words), "keys": list(features)}
    few = {name: array[:8] for name, array in words[0].items()}
    text = OrtBackend(bundle.graph("fp32", "text")).infer(few)["text"]
    keys = OrtBackend(bundle.graph("fp32", "keys")).infer(features[0])["keys"]
    found["scorer"] = [{"keys": keys, "text": text}]
    if "image" in bundle.graphs:
        found["image"] = [extreme_images(golden.edges["image"][-1].feeds)]
    return found


def words_packed(vocabulary: int, *, most: int) -> list[Arrays]:
    """Every token once, in random order, as sentences of up to 64 tokens."""
    tokens = min(_TOKENS, most)
    order = np.random.default_rng(0).permutation(vocabulary)
    rows = np.resize(order, (-(-vocabulary // tokens), tokens)).astype(np.int64)
    parts = [rows[start : start + _SENTENCES] for start in range(0, len(rows), _SENTENCES)]
    return [{"input_ids": part, "attention_mask": np.ones_like(part)} for part in parts]


def far_features(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (5, Dv) far outside of those in `rows` (N, Dv): all high, all low, by turns (both ways), and all 0."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    far = _FAR * (high - low)
    even = np.arange(rows.shape[1]) % 2 == 0
    above, below = high + far, low - far
    return np.stack([above, below, np.where(even, above, below), np.where(even, below, above), np.zeros_like(low)]).astype(np.float32)


def extreme_images(feeds: Feeds) -> Arrays:
    """Four images in the range of the given ones: darkest, brightest, a board of both, and noise."""
    found = {}
    for name, images in feeds.items():
        low, high, shape = images.min(), images.max(), images.shape[1:]
        board = np.indices(shape[-3:]).sum(axis=0) % 2 == 0
        noise = np.random.default_rng(0).random(shape) < 0.5
        four = [np.full(shape, low), np.full(shape, high), *(np.where(np.broadcast_to(on, shape), high, low) for on in (board, noise))]
        found[name] = np.stack(four).astype(images.dtype)
    return found


def observe_bundle(bundle: Bundle, golden: Golden, extremes: Mapping[str, Sequence[Feeds]]) -> dict[str, Peaks]:
    """Run the FP32 graphs on the golden cases and on extreme inputs, and note how large numbers and sums get: graph -> peaks."""
    found = {}
    for name in bundle.graphs:
        cases = [*golden.edges[name], *(golden.edges["words"] if name == "text" else [])]
        more = extremes[name] if name in ("text", "image") else []  # extreme features are not real; the gate judges what they give
        found[name] = observe(read_onnx(bundle.graph("fp32", name)), [*(case.feeds for case in cases), *more])
    return found


def gate_rounded(
    bundle: Bundle, precision: str, golden: Golden, extremes: Mapping[str, Sequence[Feeds]], wide: Mapping[str, Mapping[str, Wide]]
) -> HalfReport:
    """Put the FP16 or INT8 graphs of a bundle through the gates.

    Args:
        bundle: with the graphs in its folder.
        precision: "fp16" or "int8".
        golden: golden data of the bundle.
        extremes: from `extreme_inputs`.
        wide: graph -> nodes that were kept in FP32 -> reason, for the report.
    """
    limits = LIMITS[precision]
    tensors: dict[str, TensorReport] = {}
    failures: list[str] = []
    sums = []
    kept = {name: counted(read_onnx(bundle.graph("fp32", name)), wide[name]) for name in bundle.graphs}
    for name in bundle.graphs:
        path = bundle.graph(precision, name)
        backend = RoundedBackend(path)
        found, wrong = tensor_gate(backend, golden.edges[name], limits)
        tensors |= found
        failures += [f"rounded at every node: {failure}" for failure in wrong]
        for label, cases, of in _harder(bundle, precision, name, golden, extremes):
            found, wrong = tensor_gate(backend, cases, of)
            tensors |= {f"{output} ({label})": report for output, report in found.items()}
            failures += [f"rounded at every node, {label}: {failure}" for failure in wrong]
        feeds = [*(case.feeds for case in golden.edges[name]), *extremes[name]]
        report = integer_sums(read_onnx(path), feeds, graph=name)
        if report is not None:
            sums.append(report)
            failures += [report.reason] if report.reason else []
    return HalfReport(tensors, kept, sums, failures)


def _harder(
    bundle: Bundle, precision: str, name: str, golden: Golden, extremes: Mapping[str, Sequence[Feeds]]
) -> list[tuple[str, list[Case], Limits]]:
    """What else a graph is put through: a label, the cases, and their limits."""
    limits = LIMITS[precision]
    if name == "text":
        return [("any words", list(golden.edges["words"]), replace(limits, cosine=limits.words, vectors=np.inf))]
    return [("extreme", extreme_cases(bundle.graph("fp32", name), extremes[name]), _extreme_limits(precision))]


def extreme_cases(exact: Path, extremes: Sequence[Feeds]) -> list[Case]:
    """Extreme inputs with what the graph in FP32 gives for them."""
    backend = OrtBackend(exact)
    return [Case(dict(feeds), backend.infer(feeds)) for feeds in extremes]


def _extreme_limits(precision: str) -> Limits:
    """Limits of extreme inputs.

    Logits of extreme features are large, and half precision rounds them in proportion; phi is held to its limit. INT8 cuts extreme inputs
    off at the range of its calibration, so it need only give finite numbers.
    """
    limits = replace(LIMITS[precision], logits=np.inf)
    return replace(limits, scores=np.inf, vectors=np.inf, cosine=-1.0) if precision == "int8" else limits


def counted(model: onnx.ModelProto, wide: Mapping[str, Wide]) -> dict[tuple[str, str], tuple[int, float]]:
    """Nodes that stay in FP32, by operator and reason: how many there are, and the largest number or sum among them."""
    groups: Counter[tuple[str, str]] = Counter()
    peaks: dict[tuple[str, str], float] = {}
    for node in model.graph.node:
        if node.name in wide:
            group = node.op_type, wide[node.name].why
            groups[group] += 1
            peaks[group] = max(peaks.get(group, 0.0), wide[node.name].peak)
    return {group: (count, peaks[group]) for group, count in groups.items()}


def rounded_failures(precision: str, path: Path, cases: Sequence[Case], extremes: Sequence[Case]) -> list[str]:
    """Failures of the graph of an image encoder: rounded at every node, and sums of its INT8 products.

    Args:
        precision: "fp16" or "int8".
        path: the graph in that precision.
        cases: pictures, with the vectors of PyTorch.
        extremes: extreme pictures, with the vectors of FP32.
    """
    backend = RoundedBackend(path)
    _, failures = tensor_gate(backend, cases, LIMITS[precision])
    _, harder = tensor_gate(backend, extremes, _extreme_limits(precision))
    failures = [*failures, *(f"extreme: {failure}" for failure in harder)]
    return [*(f"rounded at every node: {failure}" for failure in failures), *sums_failures(path, [*cases, *extremes])]


def sums_failures(path: Path, cases: Sequence[Case]) -> list[str]:
    """Why the INT8 products of a graph fail, in one line; empty if they pass, or there are none."""
    report = integer_sums(read_onnx(path), [case.feeds for case in cases], graph=path.stem)
    return [report.reason] if report is not None and report.reason else []


def range_failures(backend: SupportsInfer, cases: Sequence[Case]) -> list[str]:
    """Outputs that are not finite, or leave the range of the expected ones by more than its width, or than their largest magnitude.

    For a detector on extreme pictures, where its boxes are not compared: those of tiny models in INT8 that pass on rendered scenes agree
    only in 83 to 93 % there. A number that overflows in half shows all the same.

    Args:
        backend: what computes the outputs.
        cases: inputs, with the outputs of FP32.
    """
    failures = []
    for case in cases:
        got = backend.infer(case.feeds)
        for name, expected in case.expected.items():
            if not np.isfinite(got[name]).all():
                failures.append(f"{name} is not finite")
                continue
            low, high = float(expected.min()), float(expected.max())
            lowest, highest, width = float(got[name].min()), float(got[name].max()), max(high - low, abs(low), abs(high))
            if lowest < low - width or highest > high + width:
                failures.append(f"{name} lies in {lowest:.3g} to {highest:.3g}, in FP32 in {low:.3g} to {high:.3g}")
    return failures
