"""The gate of a detector's graph: its boxes are compared with those of a reference, in any order.

The graph chooses its queries by their scores, so a rounding error may swap two of them. Outputs are therefore not compared by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.detectors.decode import Candidates, decoded
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.tracking.boxes import areas, overlaps
from wsra.runtime.verification.gates import SupportsInfer
from wsra.runtime.verification.golden import Case
from wsra.runtime.verification.reports import BoxAgreement

BEST = 20  # boxes of a frame that are compared, even where fewer are over the threshold


@dataclass(frozen=True)
class Limits:
    """How far a precision may be from the reference.

    Attributes:
        iou: smallest IoU of two boxes that agree.
        agreement: smallest percentage of the best boxes of either side that agree with a box of the other. Boxes over the threshold must
            also be of the same class.
        score: largest mean difference of the scores of boxes that agree.
    """

    iou: float
    agreement: float
    score: float


LIMITS = {
    "fp32": Limits(iou=0.99, agreement=99.5, score=1e-4),
    "fp16": Limits(iou=0.9, agreement=98.0, score=1e-2),
    "int8": Limits(iou=0.8, agreement=95.0, score=5e-2),
}


@dataclass(frozen=True)
class DetectionReport:
    """What the gate of a detector found.

    Attributes:
        boxes: the agreement; None if the outputs cannot be decoded.
        reason: why the graph failed, in one line; None when it passed.
    """

    boxes: BoxAgreement | None
    reason: str | None

    @property
    def passed(self) -> bool:
        """Whether the graph passed."""
        return self.reason is None


def detection_gate(backend: SupportsInfer, cases: Sequence[Case], settings: DetectorSettings, limits: Limits) -> DetectionReport:
    """Compare the boxes of a graph with those of a reference.

    Args:
        backend: what computes the outputs.
        cases: inputs with the outputs of the reference: PyTorch, or the graph in FP32 on the CPU.
        settings: how the detector's outputs are decoded.
        limits: largest differences allowed.

    Returns:
        What was measured, and the reason if the graph failed.
    """
    pairs: list[tuple[float, float]] = []  # IoU and difference of scores of each box and its match
    for case in cases:
        count = len(next(iter(case.feeds.values())))
        try:
            got = backend.infer(case.feeds)
            found = decoded([got[name] for name in settings.names], settings, count)
        except (ValueError, KeyError) as err:
            return DetectionReport(None, f"of {count} frames: {err}")
        expected = decoded([case.expected[name] for name in settings.names], settings, count)
        for one, other in zip(found, expected, strict=True):
            pairs += [*_matches(one, other, settings, limits.iou), *_matches(other, one, settings, limits.iou)]
    ious, differences = np.array(pairs).reshape(-1, 2).T
    same = ious >= limits.iou
    boxes = BoxAgreement(
        boxes=len(pairs),
        agreement=100.0 * float(same.mean()),
        score_mean=float(differences[same].mean()) if same.any() else 1.0,
        score_max=float(differences[same].max()) if same.any() else 1.0,
        iou_mean=float(ious.mean()),
    )
    failures = []
    if boxes.agreement < limits.agreement:
        share = f"{boxes.agreement:.1f} % of {boxes.boxes} boxes"
        failures.append(f"{share} agree with the reference's to an IoU of {limits.iou}, the limit is {limits.agreement} %")
    if boxes.score_mean > limits.score:
        failures.append(f"the mean difference of their scores is {boxes.score_mean:.1e}, the limit is {limits.score:.0e}")
    return DetectionReport(boxes, "; ".join(failures) or None)


def _matches(one: Candidates, other: Candidates, settings: DetectorSettings, least: float) -> list[tuple[float, float]]:
    """For each of the best boxes of `one`: the IoU with its match in `other`, and the difference of their scores."""
    order = np.argsort(-one.scores, kind="stable")
    order = order[: max(BEST, int(np.count_nonzero(one.scores >= settings.threshold)))]
    comparable = (one.classes[order][:, None] == other.classes[None]) | (one.scores[order] < settings.threshold)[:, None]
    ious = _ious(one.boxes[order], other.boxes) * comparable
    differences = np.abs(one.scores[order][:, None] - other.scores[None])
    # Among several boxes in one place, the match is the one with the nearest score.
    best = np.argmax(np.where(ious >= least, 2.0 - differences, ious), axis=1)
    rows = np.arange(len(order))
    return list(zip(ious[rows, best].tolist(), differences[rows, best].tolist(), strict=True))


def _ious(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """(K, M) of boxes (K, 4) and (M, 4)."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    shared = overlaps(first, second)
    union = areas(first)[:, None] + areas(second)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-12))
