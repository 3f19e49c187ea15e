"""Choosing a detector's boxes: above the threshold, of a class to track, and each object once (NMS)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.detectors.classes import class_of
from wsra.runtime.backbones.detectors.decode import Candidates
from wsra.runtime.backbones.detectors.found import Found
from wsra.runtime.backbones.detectors.settings import DetectorSettings

DOUBLE = 0.8  # IoU above which two boxes of any classes are one object; a rider and the bicycle overlap less
MOST = 300  # objects per frame


def chosen(candidates: Candidates, settings: DetectorSettings, place: tuple[int, int, int, int]) -> Found:
    """Choose the boxes of one frame.

    Args:
        candidates: boxes of one frame.
        settings: threshold, nms, classes and follow.
        place: top, left, height and width of the frame in the input, in pixels (`place_of`).

    Returns:
        At most 300 detections, the best first.
    """
    followed = np.array([bool(name) and (settings.follow is None or name in settings.follow) for name in settings.classes])
    kept = (candidates.scores >= settings.threshold) & followed[candidates.classes]
    boxes, scores, classes = _in_frame(candidates.boxes[kept], place), candidates.scores[kept], candidates.classes[kept]
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, classes = boxes[real], scores[real], classes[real]
    order = np.argsort(-scores, kind="stable")
    if settings.nms is not None:
        order = order[_without_lesser(boxes[order], scores[order], classes[order], settings.nms)]
    own = np.array([class_of(name) for name in settings.classes])
    order = order[_without_lesser(boxes[order], scores[order], np.zeros(len(order), np.int64), DOUBLE)][:MOST]
    return Found(boxes[order], np.clip(scores[order], 0.0, 1.0), own[classes[order]])


def _in_frame(boxes: NDArray[np.float32], place: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """(K, 4) from pixels of the input to fractions of the frame, clipped to the frame."""
    top, left, height, width = place
    shares = (boxes - np.array([left, top, left, top])) / np.array([width, height, width, height])
    return np.asarray(np.clip(shares, 0.0, 1.0), np.float32)


def _without_lesser(boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int64], most: float) -> NDArray[np.int64]:
    """Indices of the boxes that overlap no better one of their class by more than `most`; the input is sorted best first."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(float)
    kept = cv2.dnn.NMSBoxesBatched(corners.tolist(), scores.tolist(), classes.tolist(), 0.0, most)
    return np.sort(np.asarray(kept, np.int64).reshape(-1))
