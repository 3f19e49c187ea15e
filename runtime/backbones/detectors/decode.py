"""Decoding a detector's outputs, in any known layout, into boxes in pixels of its input with a score and a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.detectors.settings import DetectorSettings

_LARGEST = 60.0  # limit for exponents; logits beyond it make no difference


@dataclass(frozen=True)
class Candidates:
    """Boxes of one frame before the threshold.

    Attributes:
        boxes: (K, 4) float32 left, top, right, bottom in pixels of the input.
        scores: (K,) float32, 0 to 1.
        classes: (K,) int64, classes of the detector.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def decoded(outputs: Sequence[NDArray[Any]], settings: DetectorSettings, count: int) -> list[Candidates]:
    """Decode the outputs of a call.

    Args:
        outputs: the outputs named by `settings.names`, in that order.
        settings: settings of the detector.
        count: number of frames in the call.

    Returns:
        The boxes of each frame.

    Raises:
        ValueError: an output does not have the shape of the layout, or is not finite.
    """
    arrays = [np.asarray(output, np.float32) for output in outputs]
    for name, array in zip(settings.names, arrays, strict=True):
        if array.ndim < 2 or array.shape[0] != count:
            raise ValueError(f"{name} is {array.shape} for {count} frames; the first axis must be over them")
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} holds NaN or infinite numbers; compare scale, mean and std with the detector's own, and in half precision try FP32"
            )
    read = {"detr": _detr, "yolox": _yolox, "boxes": _boxes}[settings.outputs]
    return read(arrays, settings)


def _detr(arrays: list[NDArray[np.float32]], settings: DetectorSettings) -> list[Candidates]:
    """Logits (N, Q, C) and boxes (N, Q, 4): centre, width and height as fractions of the input. Each query gets its most likely class."""
    logits, boxes = arrays
    softmax = settings.scores == "softmax"
    _check(settings.names[0], logits, len(settings.classes) + softmax)
    _check(settings.names[1], boxes, 4)
    if softmax:
        shifted = np.exp(logits - logits.max(axis=2, keepdims=True))
        scores = (shifted / shifted.sum(axis=2, keepdims=True))[..., :-1]
    else:
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -_LARGEST, _LARGEST)))
    return _candidates(_corners(boxes * _input(settings)), scores)


def _yolox(arrays: list[NDArray[np.float32]], settings: DetectorSettings) -> list[Candidates]:
    """(N, A, 5 + C): centre, width, height, objectness, classes; in pixels of the input, or in cells of `strides`.

    In cells: x = (column + output) * stride, width = exp(output) * stride, row by row, one stride after the other (Ge et al., YOLOX, 2021).
    """
    (table,) = arrays
    _check(settings.names[0], table, 5 + len(settings.classes))
    boxes = table[..., :4]
    if settings.strides:
        cells, sizes = _cells(settings)
        if boxes.shape[1] != len(cells):
            raise ValueError(
                f"{settings.names[0]} has {boxes.shape[1]} boxes; strides {list(settings.strides)} and size {list(settings.size)} make"
                f" {len(cells)}"
            )
        extents = np.exp(np.clip(boxes[..., 2:], -_LARGEST, 20.0))
        boxes = np.concatenate([(boxes[..., :2] + cells) * sizes, extents * sizes], axis=2)
    return _candidates(_corners(boxes), table[..., 4:5] * table[..., 5:])


def _cells(settings: DetectorSettings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of each cell (A, 2), and its size in pixels (A, 1)."""
    cells, sizes = [], []
    for stride in settings.strides:
        rows, columns = settings.size[0] // stride, settings.size[1] // stride
        y, x = np.divmod(np.arange(rows * columns), columns)
        cells.append(np.stack([x, y], axis=1))
        sizes.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def _boxes(arrays: list[NDArray[np.float32]], settings: DetectorSettings) -> list[Candidates]:
    """Boxes (N, K, 4), scores (N, K) and classes (N, K), or all in one (N, K, 6); a class below 0 means no box."""
    if len(arrays) == 1:
        _check(settings.names[0], arrays[0], 6)
        boxes, scores, numbers = arrays[0][..., :4], arrays[0][..., 4], arrays[0][..., 5]
    else:
        boxes, scores, numbers = arrays
        _check(settings.names[0], boxes, 4)
        for name, array in zip(settings.names[1:], (scores, numbers), strict=True):
            if array.shape != boxes.shape[:2]:
                raise ValueError(f"{name} is {array.shape}; {settings.names[0]} is {boxes.shape}, so expected {boxes.shape[:2]}")
    classes = np.round(numbers).astype(np.int64)
    if classes.size and classes.max() >= len(settings.classes):
        raise ValueError(f"there is a box of class {classes.max()}; classes has {len(settings.classes)} names: name all of them")
    if settings.units == "shares":
        boxes = boxes * _input(settings)
    found = []
    for box, score, number in zip(boxes, scores, classes, strict=True):
        real = number >= 0
        found.append(Candidates(box[real], score[real], number[real]))
    return found


def _check(name: str, array: NDArray[np.float32], width: int) -> None:
    if array.ndim != 3 or array.shape[2] != width:
        raise ValueError(f"{name} is {array.shape}; by outputs and classes of the JSON, expected (frames, boxes, {width})")


def _input(settings: DetectorSettings) -> NDArray[np.float32]:
    height, width = settings.size
    return np.array([width, height, width, height], np.float32)


def _corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., 4) from centre, width and height to left, top, right and bottom."""
    middles, halves = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([middles - halves, middles + halves], axis=-1)


def _candidates(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[Candidates]:
    """Each box with its best class, from boxes (N, K, 4) and scores of all classes (N, K, C)."""
    classes = scores.argmax(axis=2)
    best = np.take_along_axis(scores, classes[..., None], axis=2)[..., 0]
    return [Candidates(*frame) for frame in zip(boxes, best, classes, strict=True)]
