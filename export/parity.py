"""Exported graphs against PyTorch: tensor by tensor at the edges of their shapes, and end to end by the moments they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsra.export.golden import Golden
from wsra.export.graphs import Graph
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.protocol import Arrays, Backend, TensorSpec
from wsra.runtime.bundle import Manifest
from wsra.runtime.errors import ExportError
from wsra.runtime.ground import Grounder
from wsra.runtime.moments import Moment, best_iou
from wsra.runtime.score import GraphScorer
from wsra.runtime.text import TextEncoder

# Largest error that is published. Scores: absolute, phi in (0, 1). Vectors (keys, text): L2 of the error over L2 of the vector.
SCORE_LIMIT = {"fp32": 1e-6, "fp16": 1e-3}
SPAN_LIMIT = {"fp32": 1e-4, "fp16": 2e-2}  # relative, of a span's score
LOGIT_LIMIT = {"fp32": 1e-4, "fp16": 5e-2}  # absolute; spans are sums of them
VECTOR_LIMIT = {"fp32": 1e-5, "fp16": 1e-3}
# Moments whose span scores differ by less than this share may change places (FP32); FP16 is held to the agreement of first answers.
TIE = 2e-6
AGREEMENT_LIMIT = 99.0  # percent of first answers of FP16 with an IoU of 0.9 or more with PyTorch's
SAME_IOU = 0.9


class TorchBackend:
    """A wrapper module as a backend: the reference."""

    provider = "PyTorch"

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        kinds = {torch.float32: "float32", torch.int64: "int64"}
        self.inputs = {
            name: TensorSpec(kinds[tensor.dtype], tuple(axes.get(i, int(n)) for i, n in enumerate(tensor.shape)))
            for (name, axes), tensor in zip(graph.inputs.items(), graph.example, strict=True)
        }
        self.outputs = {name: TensorSpec("float32", shape) for name, shape in graph.outputs.items()}

    @torch.no_grad()
    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the module; see `Backend.infer`."""
        result = self._graph.module(*(torch.tensor(feeds[name]) for name in self._graph.inputs))
        results = result if isinstance(result, tuple) else (result,)
        return {name: value.numpy() for name, value in zip(self._graph.outputs, results, strict=True)}

    def __enter__(self) -> TorchBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


@dataclass(frozen=True)
class Edges:
    """Real inputs to cut the edge cases from.

    Attributes:
        features: (T, Dv) float32.
        keys: (T, H) float32.
        text: (Q, Dt) float32.
        token_ids: one row of ids per sentence.
        max_tokens: longest sentence the encoder takes.
    """

    features: NDArray[np.float32]
    keys: NDArray[np.float32]
    text: NDArray[np.float32]
    token_ids: list[list[int]]
    max_tokens: int

    def cases(self, graph: str) -> list[dict[str, NDArray[Any]]]:
        """Feeds at batch, length and window edges."""
        if graph == "keys":
            return [{"features": _tiled(self.features, n)} for n in (1, 2, 47, 1024)]
        if graph == "scorer":
            return [{"keys": _tiled(self.keys, n), "text": _tiled(self.text, q)} for n, q in ((1, 1), (1, 3), (47, 1), (1024, 2), (21, 8))]
        one, longest = self.token_ids[0], max(self.token_ids, key=len)
        filled = (one[:-1] * self.max_tokens)[: self.max_tokens - 1] + one[-1:]
        batches = [[one[:1]], [one], [longest, one], self.token_ids[:8], [filled]]
        return [_padded(batch) for batch in batches]


def _tiled(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.resize(rows, (count, rows.shape[1])))


def _padded(batch: list[list[int]]) -> dict[str, NDArray[Any]]:
    longest = max(map(len, batch))
    ids = np.array([row + [0] * (longest - len(row)) for row in batch], np.int64)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in batch], np.int64)
    return {"input_ids": ids, "attention_mask": mask}


def tensor_errors(graph: Graph, backend: Backend, edges: Edges, precision: str) -> dict[str, float]:
    """Compare one graph with its module at every edge.

    Args:
        graph: with the PyTorch module.
        backend: the exported graph, loaded.
        edges: real inputs.
        precision: whose limits hold.

    Returns:
        Output -> largest error (relative L2 for vectors, absolute for scores and logits).

    Raises:
        ExportError: an output is not finite or off by more than its limit.
    """
    reference, errors = TorchBackend(graph), dict.fromkeys(graph.outputs, 0.0)
    for feeds in edges.cases(graph.name):
        expected, got = reference.infer(feeds), backend.infer(feeds)
        shapes = {name: array.shape for name, array in feeds.items()}
        for name in graph.outputs:
            if got[name].shape != expected[name].shape or not np.isfinite(got[name]).all():
                raise ExportError(f"{precision} {graph.name}: {name} of {shapes} is {got[name].shape} or not finite: do not deploy it")
            difference = got[name].astype(np.float64) - expected[name]
            if name in ("scores", "logits"):
                error = float(np.abs(difference).max())
            else:
                error = float((np.linalg.norm(difference, axis=-1) / np.linalg.norm(expected[name], axis=-1)).max())
            errors[name] = max(errors[name], error)
            limit = {"scores": SCORE_LIMIT[precision], "logits": LOGIT_LIMIT[precision]}.get(name, VECTOR_LIMIT[precision])
            if error > limit:
                raise ExportError(f"{precision} {graph.name}: {name} of {shapes} is off by {error:.2e}; the limit is {limit:.0e}")
    return errors


def load_graphs(folder: Path, graphs: tuple[Graph, ...], precision: str) -> dict[str, Backend]:
    """The exported graphs of a precision in ONNX Runtime."""
    return {graph.name: OrtBackend(folder / precision / f"{graph.name}.onnx", threads=2) for graph in graphs}


def grounder_of(manifest: Manifest, tokenizer: Path, backends: Mapping[str, Backend], precision: str) -> Grounder:
    """A grounder over any backends."""
    encoder = TextEncoder(tokenizer, backends["text"], max_tokens=manifest.text["max_tokens"])
    return Grounder(
        manifest,
        encoder,
        GraphScorer(backends["keys"], backends["scorer"]),
        bundle=tokenizer.parent,
        precision=precision,
    )


def moment_agreement(reference: Grounder, exported: Grounder, golden: Golden, precision: str) -> dict[str, float]:
    """Ground every golden sentence in its own video with both, and compare the moments.

    Returns:
        `queries`, `same_order` and `first_agrees` (IoU of 0.9 or more, or both empty) in percent.

    Raises:
        ExportError: FP32 differs other than in ties, or FP16 agrees in less than 99 % of the first answers.
    """
    same_order = agreeing = 0
    for sentence, video in zip(golden.sentences, golden.video_of, strict=True):
        expected = reference.ground(golden.videos[video], sentence)
        got = exported.ground(golden.videos[video], sentence)
        same = _same(expected, got, precision)
        same_order += same
        agreeing += _first_agrees(expected, got)
        if precision == "fp32" and not same:
            raise ExportError(f"fp32: {sentence!r} finds {_told(got)}; PyTorch finds {_told(expected)}: do not deploy it")
    figures = {
        "queries": float(len(golden.sentences)),
        "same_order": 100.0 * same_order / len(golden.sentences),
        "first_agrees": 100.0 * agreeing / len(golden.sentences),
    }
    if figures["first_agrees"] < AGREEMENT_LIMIT:
        raise ExportError(
            f"{precision}: first answers agree with PyTorch in {figures['first_agrees']:.1f} %; the limit is {AGREEMENT_LIMIT} %"
        )
    return figures


def _told(moments: list[Moment]) -> str:
    return ", ".join(f"{m.start_s:g}-{m.end_s:g} s ({m.score:.6g})" for m in moments[:3]) or "nothing"


def _same(expected: list[Moment], got: list[Moment], precision: str) -> bool:
    """Same windows in the same order with about the same scores, except that scores closer than `TIE` may change places."""
    if len(expected) != len(got):
        return False
    spans = {(m.start_s, m.end_s): m.score for m in expected}
    for want, have in zip(expected, got, strict=True):
        score = spans.get((have.start_s, have.end_s))
        if score is None or abs(score - want.score) > TIE * max(1.0, abs(want.score)):
            return False
        if abs(have.score - score) > SPAN_LIMIT[precision] * max(1.0, abs(score)):
            return False
    return True


def _first_agrees(expected: list[Moment], got: list[Moment]) -> bool:
    if not expected or not got:
        return not expected and not got
    first, other = (np.array([[m[0].start_s, m[0].end_s]]) for m in (expected, got))
    return bool(best_iou(first, other)[0] >= SAME_IOU)
