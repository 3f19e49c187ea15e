"""The detections of a frame: the interface of a detector, the choice of its boxes (NMS), and the pieces that the tracker follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.detectors.classes import class_of, label
from wsra.runtime.backbones.detectors.decode import Candidates
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.tracking.background import Image, Mask
from wsra.runtime.backbones.tracking.blobs import MIN_AREA_PX, Piece

DOUBLE = 0.8  # IoU above which two boxes of any classes are one object; a rider and the bicycle overlap less
MOST = 300  # objects per frame


@dataclass(frozen=True)
class Found:
    """The detections of one frame, the best first.

    Attributes:
        boxes: (K, 4) float32 left, top, right and bottom, as fractions of the frame's width and height, inside the frame.
        scores: (K,) float32, 0 to 1.
        classes: (K,) int64, indices into `wsra.runtime.backbones.detectors.classes.CLASSES`.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class DetectorCall:
    """A prepared call: the input of the graph, and the height and width in pixels of each frame, without the filling of the call."""

    pixels: NDArray[Any]
    sizes: list[tuple[int, int]]


@dataclass(frozen=True)
class DetectorOutputs:
    """What the graph returned for a call, in the order of the settings; the rows of its input, with the filling; the sizes of the call."""

    arrays: list[NDArray[Any]]
    rows: int
    sizes: list[tuple[int, int]]


class Detector(Protocol):
    """Finds objects in frames."""

    @property
    def id(self) -> str:
        """Identifies the detector together with its settings."""

    @property
    def height_px(self) -> int:
        """Preferred height of frames in pixels."""

    @property
    def frames_per_s(self) -> float:
        """Frames per second to process."""

    @property
    def per_call(self) -> int:
        """Preferred number of frames per call."""

    def prepare(self, images: Sequence[Image]) -> DetectorCall:
        """The input of a call, from one to `per_call` frames (H, W, 3) uint8 BGR."""

    def infer(self, call: DetectorCall) -> DetectorOutputs:
        """Run the graph on a call from `prepare`.

        Raises:
            BackboneError: the graph does not run.
        """

    def find(self, outputs: DetectorOutputs) -> list[Found]:
        """Read what was found from the outputs.

        Args:
            outputs: from `infer`.

        Returns:
            The detections of each frame, one per object.

        Raises:
            BackboneError: the output of the detector cannot be used.
        """


def chosen(candidates: Candidates, settings: DetectorSettings, place: tuple[int, int, int, int]) -> Found:
    """Choose the boxes of one frame: those above the threshold, of a class to track, and each object once (NMS).

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


def pieces_of(found: Found, image: Image) -> list[Piece]:
    """Crop the detections; an ellipse in each box approximates the outline of the object.

    Args:
        found: detections of this frame.
        image: (H, W, 3) uint8 BGR; the pieces hold views of it.

    Returns:
        Pieces, the largest first, without those of fewer than 12 pixels.
    """
    rows, columns = image.shape[:2]
    pieces = []
    for box, score, number in zip(found.boxes, found.scores, found.classes, strict=True):
        left, top, right, bottom = np.round(box * np.array([columns, rows, columns, rows])).astype(int).tolist()
        mask = _ellipse(bottom - top, right - left)
        area = int(np.count_nonzero(mask))
        if area >= MIN_AREA_PX:
            crop = image[top:bottom, left:right]
            pieces.append(Piece(left, top, right - left, bottom - top, area, mask, crop, label(int(number), float(score))))
    return sorted(pieces, key=lambda piece: (-piece.area, piece.top, piece.left))


def _ellipse(height: int, width: int) -> Mask:
    """(height, width) bool, the ellipse that touches all sides."""
    mask = np.zeros((height, width), np.uint8)
    if height and width:
        middle, axes = ((width - 1) / 2, (height - 1) / 2), (float(width), float(height))
        cv2.ellipse(mask, (middle, axes, 0.0), 1, cv2.FILLED)
    return mask.view(np.bool_)
