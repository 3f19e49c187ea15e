"""The two gates of a graph set: its tensors, and the moments it finds, against PyTorch's in the golden data. Loads no torch and no onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.evaluation.metrics import Figures
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.spans.moments import iou
from wsra.runtime.verification.golden import Case, Golden

SAME_IOU = 0.9
FEWEST = 300  # queries below which a share of agreement or a mean says too little to judge by
_SCALARS = ("scores", "logits")


@dataclass(frozen=True)
class Limits:
    """What a precision may lose.

    Attributes:
        scores: largest absolute error of phi.
        logits: largest absolute error of logits.
        vectors: largest error of a vector (text, key): L2 of the error over L2 of the vector.
        cosine: smallest mean cosine of the vectors of one output.
        words: smallest mean cosine of sentences of words drawn from the whole vocabulary, which no calibration has seen.
        agreement: percent of the queries that either answers whose first answers have an IoU of 0.9 or more.
        miou_drop: points of mean IoU on labelled queries; R@1 at IoU 0.5 is told, not judged.
    """

    scores: float
    logits: float
    vectors: float
    cosine: float
    words: float
    agreement: float
    miou_drop: float


LIMITS = {
    "fp32": Limits(scores=1e-6, logits=1e-4, vectors=1e-5, cosine=0.999999, words=0.999999, agreement=99.5, miou_drop=0.1),
    "fp16": Limits(scores=5e-3, logits=5e-2, vectors=2e-3, cosine=0.99999, words=0.9999, agreement=99.0, miou_drop=0.3),
    "int8": Limits(scores=0.1, logits=1.0, vectors=0.3, cosine=0.995, words=0.95, agreement=95.0, miou_drop=1.0),
}


class Infers(Protocol):
    """A backend, or what gives the outputs of one."""

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Backend.infer`."""


def limits_of(precision: str, device: str) -> Limits:
    """Limits of a precision on a device; FP32 has FP16's on a GPU, where ONNX Runtime's TensorRT provider rounds to ten bits (TF32)."""
    return LIMITS["fp16" if precision == "fp32" and device != "cpu" else precision]


def tensor_gate(backend: Infers, cases: Sequence[Case], limits: Limits) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Compare a graph with PyTorch at the edges of its shapes.

    Args:
        backend: the graph, or what stands for it.
        cases: calls with PyTorch's outputs.
        limits: of its precision.

    Returns:
        Output -> `max_abs`, and for vectors `cosine_mean`, `cosine_min` and `relative`; and what is wrong, one line each.
    """
    found: dict[str, dict[str, list[float]]] = {}
    wrong = []
    for case in cases:
        got = backend.infer(case.feeds)
        shapes = ", ".join(f"{name} {array.shape}" for name, array in case.feeds.items())
        for name, expected in case.expected.items():
            if name not in got:
                wrong.append(f"the output {name} is missing; there are {', '.join(got)}")
            elif got[name].shape != expected.shape:
                wrong.append(f"{name} of {shapes} is {got[name].shape}, expected {expected.shape}")
            elif not np.isfinite(got[name]).all():
                wrong.append(f"{name} of {shapes} holds NaN or infinite values")
            else:
                kept = found.setdefault(name, {"cosine": [], "max_abs": [], "relative": []})
                error = got[name].astype(np.float64) - expected
                kept["max_abs"].append(float(np.abs(error).max()))
                if name not in _SCALARS:
                    kept["cosine"] += _cosines(got[name], expected)
                    kept["relative"].append(float((_norm(error) / np.maximum(_norm(expected), 1e-12)).max()))
    told: dict[str, dict[str, float]] = {}
    for name, numbers in found.items():
        told[name] = {"max_abs": max(numbers["max_abs"])}
        if name in _SCALARS:
            wrong += _over(name, "its largest error", told[name]["max_abs"], limits.scores if name == "scores" else limits.logits)
        else:
            told[name] |= {"cosine_mean": float(np.mean(numbers["cosine"])), "cosine_min": min(numbers["cosine"])}
            told[name]["relative"] = max(numbers["relative"])
            wrong += _over(name, "its largest relative error", told[name]["relative"], limits.vectors)
            if told[name]["cosine_mean"] < limits.cosine:
                wrong.append(f"{name}: mean cosine {told[name]['cosine_mean']:.6f}, the limit is {limits.cosine}")
    return told, wrong


def _cosines(got: NDArray[Any], expected: NDArray[Any]) -> list[float]:
    one, other = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    cosines: list[float] = ((one * other).sum(axis=1) / np.maximum(_norm(one) * _norm(other), 1e-300)).tolist()
    return cosines


def _norm(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(rows, axis=-1))


def _over(name: str, what: str, error: float, limit: float) -> list[str]:
    return [f"{name}: {what} is {error:.2e}, the limit is {limit:.0e}"] if error > limit else []


def first_moments(
    grounder: Grounder, videos: Sequence[Features], sentences: Sequence[str], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """First answers of a model.

    Args:
        grounder: the model.
        videos: to look in.
        sentences: to look for; each is encoded once.
        pairs: (P, 2), a sentence and a video.

    Returns:
        (P, 2) start and end in seconds; NaN where nothing is found.
    """
    text = grounder.encoder.encode(sentences)
    found = np.full((len(pairs), 2), np.nan)
    for number, video in enumerate(videos):
        rows = np.flatnonzero(pairs[:, 1] == number)
        chosen = pairs[rows, 0]
        answers = grounder.answers_to_vectors(video, [sentences[i] for i in chosen], text[chosen], top_k=1)
        for row, answer in zip(rows, answers, strict=True):
            if answer.moments:
                found[row] = answer.moments[0].start_s, answer.moments[0].end_s
    return found


def grounding_gate(grounder: Grounder, golden: Golden, limits: Limits) -> tuple[dict[str, Any], list[str]]:
    """Compare first answers to the golden queries with PyTorch's; of fewer than 300 as many may differ as of 300.

    Returns:
        `queries`, `answered` (those in which either finds something), `agreement` in percent of them and `worst`, the query with the
        smallest IoU; and what is wrong, one line each.
    """
    found = first_moments(grounder, golden.videos, golden.sentences, golden.pairs)
    overlaps = np.array([_overlap(one, other) for one, other in zip(found, golden.moments, strict=True)])
    answered = ~np.isnan(found[:, 0]) | ~np.isnan(golden.moments[:, 0])
    worst = int(np.argmin(overlaps))
    sentence, video = golden.pairs[worst]
    agreement = 100.0 * float(np.mean(overlaps[answered] >= SAME_IOU)) if answered.any() else 0.0
    told = {
        "queries": len(overlaps),
        "answered": int(answered.sum()),
        "agreement": agreement,
        "worst": {
            "query": golden.sentences[sentence],
            "video": golden.videos[video].video,
            "expected_s": _told(golden.moments[worst]),
            "found_s": _told(found[worst]),
            "iou": float(overlaps[worst]),
        },
    }
    differing, allowed = int((overlaps[answered] < SAME_IOU).sum()), (1 - limits.agreement / 100) * max(int(answered.sum()), FEWEST)
    if differing <= allowed and answered.any():
        return told, []
    return told, [
        f"first answers agree with PyTorch's in {agreement:.1f} % of {answered.sum()} queries, the limit is {limits.agreement} %;"
        f" the worst: {golden.sentences[sentence]!r} finds {_told(found[worst])}, expected {_told(golden.moments[worst])}"
    ]


def label_gate(figures: Figures, reference: Figures, limits: Limits) -> tuple[dict[str, float], list[str]]:
    """Compare figures on labelled queries with those of the FP32 graphs, in points; fewer than 300 queries are told, not judged."""
    told: dict[str, float] = {
        "queries": figures.queries,
        "r1_iou50": figures.r1_iou50,
        "miou": figures.miou,
        "r1_iou50_drop": round(reference.r1_iou50 - figures.r1_iou50, 3),
        "miou_drop": round(reference.miou - figures.miou, 3),
    }
    if told["miou_drop"] <= limits.miou_drop or figures.queries < FEWEST:
        return told, []
    return told, [
        f"mean IoU drops by {told['miou_drop']:.2f} points on {figures.queries} labelled queries, the limit is {limits.miou_drop}"
    ]


def _overlap(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """IoU of two answers; 1 where both find nothing."""
    missing = np.isnan([found[0], expected[0]])
    return float(missing.all()) if missing.any() else float(iou(found[None], expected)[0])


def _told(span: NDArray[np.float64]) -> list[float] | None:
    return None if np.isnan(span[0]) else [float(span[0]), float(span[1])]
