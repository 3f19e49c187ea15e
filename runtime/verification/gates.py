"""The gates of a precision or route: its tensors and the moments it finds are compared with PyTorch's, which the golden data hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.evaluation.metrics import Figures
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.presence import FOUND
from wsra.runtime.spans.moments import iou
from wsra.runtime.verification.golden import Case, Golden
from wsra.runtime.verification.reports import GroundingReport, LabelledReport, Seconds, TensorReport, WorstQuery

SAME_IOU = 0.9
FEWEST = 300  # below so many queries, a percentage or a mean is too uncertain to judge by
_SCALARS = ("scores", "logits")


@dataclass(frozen=True)
class Limits:
    """How far a precision may be from PyTorch.

    Attributes:
        scores: largest absolute error of phi.
        logits: largest absolute error of logits.
        vectors: largest error of a vector (text, key): L2 of the error over L2 of the vector.
        cosine: smallest mean cosine of the vectors of one output.
        words: smallest mean cosine for words drawn from the whole vocabulary, most of which calibration has not seen.
        agreement: smallest percentage of first answers with an IoU of 0.9 or more, over the queries for which either side has a candidate.
        presence: smallest percentage of queries that both sides find, or both do not.
        confidence: largest mean absolute error of the confidence.
        miou_drop: largest loss of mean IoU on labelled queries, in points. R@1 at IoU 0.5 is reported, but cannot fail the gate.
    """

    scores: float
    logits: float
    vectors: float
    cosine: float
    words: float
    agreement: float
    presence: float
    confidence: float
    miou_drop: float


# A score (phi) and a confidence move by at most a quarter of their logit's error. In FP32, libraries round the logits of a trained scorer
# differently: errors of 1e-5 are seen, and of 1.2e-6 in the scores. FP32 and FP16 may change presence only where it stands on the limit.
# INT8 really changes scores, and one query in twenty may change sides with them, as one first answer in twenty may change.
LIMITS = {
    "fp32": Limits(
        scores=1e-5,
        logits=1e-4,
        vectors=1e-5,
        cosine=0.999999,
        words=0.999999,
        agreement=99.5,
        presence=99.5,
        confidence=1e-3,
        miou_drop=0.1,
    ),
    "fp16": Limits(
        scores=5e-3,
        logits=5e-2,
        vectors=2e-3,
        cosine=0.99999,
        words=0.9999,
        agreement=99.0,
        presence=99.0,
        confidence=5e-3,
        miou_drop=0.3,
    ),
    "int8": Limits(
        scores=0.1,
        logits=1.0,
        vectors=0.3,
        cosine=0.995,
        words=0.95,
        agreement=95.0,
        presence=95.0,
        confidence=5e-2,
        miou_drop=1.0,
    ),
}


class SupportsInfer(Protocol):
    """A backend, or anything else that computes the outputs of a graph."""

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Backend.infer`."""


def limits_of(precision: str, device: str) -> Limits:
    """Limits of a precision on a device.

    On a GPU, FP32 has the limits of FP16, because ONNX Runtime's TensorRT provider rounds the factors of products to ten bits (TF32).
    """
    return LIMITS[judged_as(precision, device)]


def judged_as(precision: str, device: str) -> str:
    """The precision whose limits hold on a device; see `limits_of`."""
    return "fp16" if precision == "fp32" and device != "cpu" else precision


def tensor_gate(backend: SupportsInfer, cases: Sequence[Case], limits: Limits) -> tuple[dict[str, TensorReport], list[str]]:
    """Compare the outputs of a graph with PyTorch's, at the edges of its shapes.

    Args:
        backend: what computes the outputs.
        cases: inputs with PyTorch's outputs.
        limits: largest errors allowed.

    Returns:
        A report for each output, and the failures, one line each.
    """
    measured: dict[str, _Errors] = {}
    failures = []
    for case in cases:
        got = backend.infer(case.feeds)
        shapes = ", ".join(f"{name} {array.shape}" for name, array in case.feeds.items())
        for name, expected in case.expected.items():
            if name not in got:
                failures.append(f"the output {name} is missing; there are {', '.join(got)}")
            elif got[name].shape != expected.shape:
                failures.append(f"{name} of {shapes} is {got[name].shape}, expected {expected.shape}")
            elif not np.isfinite(got[name]).all():
                failures.append(f"{name} of {shapes} holds NaN or infinite values")
            else:
                errors = measured.setdefault(name, _Errors())
                error = got[name].astype(np.float64) - expected
                errors.absolute.append(float(np.abs(error).max()))
                if name not in _SCALARS:
                    errors.cosines += _cosines(got[name], expected)
                    errors.relative.append(float((_norm(error) / np.maximum(_norm(expected), 1e-12)).max()))
    reports = {name: errors.report() for name, errors in measured.items()}
    for name, report in reports.items():
        failures += _over_limits(name, report, limits)
    return reports, failures


@dataclass
class _Errors:
    """Errors of one output: the largest of each case, and the cosine of every vector."""

    absolute: list[float] = field(default_factory=list)
    relative: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)

    def report(self) -> TensorReport:
        if not self.cosines:
            return TensorReport(max(self.absolute))
        return TensorReport(max(self.absolute), float(np.mean(self.cosines)), min(self.cosines), max(self.relative))


def _over_limits(name: str, report: TensorReport, limits: Limits) -> list[str]:
    if report.cosine_mean is None or report.relative is None:
        limit = limits.scores if name == "scores" else limits.logits
        over = report.max_abs > limit
        return [f"{name}: its largest error is {report.max_abs:.2e}, the limit is {limit:.0e}"] if over else []
    failures = []
    if report.relative > limits.vectors:
        failures.append(f"{name}: its largest relative error is {report.relative:.2e}, the limit is {limits.vectors:.0e}")
    if report.cosine_mean < limits.cosine:
        failures.append(f"{name}: mean cosine {report.cosine_mean:.6f}, the limit is {limits.cosine}")
    return failures


def _cosines(got: NDArray[Any], expected: NDArray[Any]) -> list[float]:
    one, other = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    lengths = _norm(one) * _norm(other)
    both_zero = (one == 0).all(axis=1) & (other == 0).all(axis=1)  # as the keys of features that are 0 may be
    cosines: list[float] = np.where(both_zero, 1.0, (one * other).sum(axis=1) / np.maximum(lengths, 1e-300)).tolist()
    return cosines


def _norm(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(rows, axis=-1))


def first_moments(
    grounder: Grounder, videos: Sequence[Features], sentences: Sequence[str], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First answers of a model to pairs of a sentence and a video, found or not, and its confidences.

    Args:
        grounder: the model.
        videos: features of the videos.
        sentences: each is encoded once.
        pairs: (P, 2), the number of a sentence and of a video.

    Returns:
        (P, 2) start and end in seconds of the best candidate, NaN where there is none; and (P,) its confidence, 0 where there is none.
    """
    text = grounder.encoder.encode(sentences)
    moments, confidence = np.full((len(pairs), 2), np.nan), np.zeros(len(pairs))
    for number, video in enumerate(videos):
        rows = np.flatnonzero(pairs[:, 1] == number)
        chosen = pairs[rows, 0]
        answers = grounder.answers_to_vectors(video, [sentences[i] for i in chosen], text[chosen], top_k=1, false_alarms=np.inf)
        for row, answer in zip(rows, answers, strict=True):
            if answer.moments:
                moments[row] = answer.moments[0].start_s, answer.moments[0].end_s
            if answer.best is not None:
                confidence[row] = answer.best.confidence
    return moments, confidence


def grounding_gate(grounder: Grounder, golden: Golden, limits: Limits) -> tuple[GroundingReport, list[str]]:
    """Compare first answers to the golden queries, and whether they count as found, with PyTorch's.

    Below 300 queries, the number allowed to differ stays that for 300.

    Returns:
        A report, and the failures, one line each.
    """
    moments, confidence = first_moments(grounder, golden.videos, golden.sentences, golden.pairs)
    overlaps = np.array([_overlap(one, other) for one, other in zip(moments, golden.moments, strict=True)])
    answered = ~np.isnan(moments[:, 0]) | ~np.isnan(golden.moments[:, 0])
    same = (confidence > FOUND) == (golden.confidence > FOUND)
    worst = int(np.argmin(overlaps))
    sentence, video = golden.pairs[worst]
    report = GroundingReport(
        queries=len(overlaps),
        answered=int(answered.sum()),
        agreement=100.0 * float(np.mean(overlaps[answered] >= SAME_IOU)) if answered.any() else 0.0,
        presence=100.0 * float(same.mean()),
        confidence_error=float(np.abs(confidence - golden.confidence).mean()),
        worst=WorstQuery(
            query=golden.sentences[sentence],
            video=golden.videos[video].video,
            expected_s=_span(golden.moments[worst]),
            found_s=_span(moments[worst]),
            iou=float(overlaps[worst]),
        ),
    )
    failures = []
    differing, allowed = int((overlaps[answered] < SAME_IOU).sum()), (1 - limits.agreement / 100) * max(report.answered, FEWEST)
    if differing > allowed or not report.answered:
        expected_s, found_s = _in_brackets(report.worst.expected_s), _in_brackets(report.worst.found_s)
        failures.append(
            f"first answers agree with PyTorch's in {report.agreement:.1f} % of {report.answered} queries, the limit is"
            f" {limits.agreement} %; the worst: {report.worst.query!r} finds {found_s}, expected {expected_s}"
        )
    if (~same).sum() > (1 - limits.presence / 100) * max(len(same), FEWEST):
        failures.append(
            f"{report.presence:.1f} % of {report.queries} queries are found, or not, as by PyTorch, the limit is {limits.presence} %"
        )
    if report.confidence_error > limits.confidence:
        failures.append(f"confidence: its mean error is {report.confidence_error:.2e}, the limit is {limits.confidence:.0e}")
    return report, failures


def label_gate(figures: Figures, reference: Figures, limits: Limits) -> tuple[LabelledReport, list[str]]:
    """Compare figures on labelled queries with those of the FP32 graphs.

    Below 300 queries the figures are reported, but cannot fail the gate.

    Returns:
        A report, and the failures, one line each.
    """
    report = LabelledReport(
        queries=figures.queries,
        r1_iou50=figures.r1_iou50,
        miou=figures.miou,
        r1_iou50_drop=round(reference.r1_iou50 - figures.r1_iou50, 3),
        miou_drop=round(reference.miou - figures.miou, 3),
    )
    if report.miou_drop <= limits.miou_drop or report.queries < FEWEST:
        return report, []
    return report, [
        f"mean IoU drops by {report.miou_drop:.2f} points on {report.queries} labelled queries, the limit is {limits.miou_drop}"
    ]


def _overlap(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """IoU of two answers; 1 where neither side has a candidate."""
    missing = np.isnan([found[0], expected[0]])
    return float(missing.all()) if missing.any() else float(iou(found[None], expected)[0])


def _span(moment: NDArray[np.float64]) -> Seconds | None:
    return None if np.isnan(moment[0]) else (float(moment[0]), float(moment[1]))


def _in_brackets(span: Seconds | None) -> str:
    return f"[{span[0]}, {span[1]}]" if span else "None"
