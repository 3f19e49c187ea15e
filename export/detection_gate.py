"""The gate of a detector's graph: what it finds against what PyTorch finds, box by box. The order of queries is nobody's business.

Queries are chosen by their scores, so a difference of one rounding may swap two of them: outputs are compared as boxes, not place by place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.detectors.decode import Candidates, decoded
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.tracking.boxes import areas, overlaps
from wsra.runtime.verification.gates import Infers
from wsra.runtime.verification.golden import Case

BEST = 20  # boxes of a frame that are compared, even where fewer are over the threshold


@dataclass(frozen=True)
class Limits:
    """What a precision may lose.

    Attributes:
        iou: of two boxes that agree.
        agreement: percent of the best boxes of either that agree with one of the other; those over the threshold in their class, too.
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


def detection_gate(backend: Infers, cases: Sequence[Case], settings: DetectorSettings, limits: Limits) -> dict[str, Any]:
    """Compare a graph with PyTorch.

    Args:
        backend: the graph, or what stands for it.
        cases: calls with PyTorch's outputs.
        settings: of the detector.
        limits: of its precision.

    Returns:
        `passed`, `reason` in one line or None, and `detections`: `boxes` compared, `agreement` in percent, mean and largest difference of
        scores, mean IoU.
    """
    pairs: list[tuple[float, float]] = []  # IoU and difference of scores of each box and its like; (0, 1) without one
    for case in cases:
        count = len(next(iter(case.feeds.values())))
        try:
            got = backend.infer(case.feeds)
            found = decoded([got[name] for name in settings.names], settings, count)
        except (ValueError, KeyError) as err:
            return {"passed": False, "reason": f"of {count} frames: {err}", "detections": {}}
        expected = decoded([case.expected[name] for name in settings.names], settings, count)
        for one, other in zip(found, expected, strict=True):
            pairs += [*_alike(one, other, settings, limits.iou), *_alike(other, one, settings, limits.iou)]
    ious, differences = np.array(pairs).reshape(-1, 2).T
    same = ious >= limits.iou
    told = {
        "boxes": len(pairs),
        "agreement": 100.0 * float(same.mean()),
        "score_mean": float(differences[same].mean()) if same.any() else 1.0,
        "score_max": float(differences[same].max()) if same.any() else 1.0,
        "iou_mean": float(ious.mean()),
    }
    wrong = []
    if told["agreement"] < limits.agreement:
        share = f"{told['agreement']:.1f} % of {len(pairs)} boxes"
        wrong.append(f"{share} agree with PyTorch's to an IoU of {limits.iou}, the limit is {limits.agreement} %")
    if told["score_mean"] > limits.score:
        wrong.append(f"the mean difference of their scores is {told['score_mean']:.1e}, the limit is {limits.score:.0e}")
    return {"passed": not wrong, "reason": "; ".join(wrong) or None, "detections": told}


def _alike(one: Candidates, other: Candidates, settings: DetectorSettings, least: float) -> list[tuple[float, float]]:
    """For the best boxes of `one`: the IoU with the nearest in `other`, of the same class where it counts, and the difference of scores."""
    order = np.argsort(-one.scores, kind="stable")
    order = order[: max(BEST, int(np.count_nonzero(one.scores >= settings.threshold)))]
    alike = (one.classes[order][:, None] == other.classes[None]) | (one.scores[order] < settings.threshold)[:, None]
    ious = _ious(one.boxes[order], other.boxes) * alike
    differences = np.abs(one.scores[order][:, None] - other.scores[None])
    # Of several in one place the one of the nearest score is meant.
    best = np.argmax(np.where(ious >= least, 2.0 - differences, ious), axis=1)
    rows = np.arange(len(order))
    return list(zip(ious[rows, best].tolist(), differences[rows, best].tolist(), strict=True))


def _ious(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """(K, M) of boxes (K, 4) and (M, 4)."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    shared = overlaps(first, second)
    union = areas(first)[:, None] + areas(second)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-12))
