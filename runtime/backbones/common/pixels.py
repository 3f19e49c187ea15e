"""Frames as the input of an encoder or detector: resized one by one, then, call by call, converted to its colours, scaled and arranged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.background import Image

# From (N, T, H, W, C); for an image encoder the axis T is removed first.
_AXES = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 1, 2, 3), "NCTHW": (0, 4, 1, 2, 3), "NTCHW": (0, 1, 4, 2, 3), "NTHWC": (0, 1, 2, 3, 4)}


class Preparation(Protocol):
    """How a picture is prepared; `EncoderSettings` and `DetectorSettings` provide it."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""

    @property
    def layout(self) -> str:
        """Axes of the input, such as "NCHW"."""

    @property
    def resize(self) -> str:
        """What to do if the aspect ratios differ: "crop", "stretch", "pad" or "corner"."""

    @property
    def colour(self) -> str:
        """Order of the channels, "RGB" or "BGR"."""

    @property
    def scale(self) -> float:
        """Factor for the values 0 to 255."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Subtracted after that."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Divides after that."""


def arranged(rows: Sequence[Sequence[Image]], settings: Preparation, dtype: str) -> NDArray[Any]:
    """Resized frames as the input of a call.

    Args:
        rows: the frames of each row, each (*size, 3) uint8 BGR from `resized`; one frame per row for an image encoder or a detector.
        settings: layout, colour, scale, mean and std.
        dtype: of the input: "float32" or "float16"; or "uint8" for a graph that scales by itself, and gets the values 0 to 255.

    Returns:
        A contiguous array in the layout; the first axis is over rows.
    """
    values: NDArray[Any] = np.stack([np.stack(frames) for frames in rows])
    if len(settings.layout) == 4:
        values = values[:, 0]
    if settings.colour == "RGB":
        values = values[..., ::-1]
    if dtype != "uint8":
        mean, std = np.array(settings.mean, np.float32), np.array(settings.std, np.float32)
        values = (values * np.float32(settings.scale) - mean) / std
    return np.ascontiguousarray(values.transpose(_AXES[settings.layout]), dtype)


def place_of(rows: int, columns: int, size: tuple[int, int], resize: str) -> tuple[int, int, int, int]:
    """The position of the whole picture in the input.

    Args:
        rows: height of the picture in pixels.
        columns: its width.
        size: height and width of the input in pixels.
        resize: "stretch", "pad" (centred) or "corner" (top left).

    Returns:
        Top, left, height and width in pixels of the input.
    """
    height, width = size
    if resize == "stretch":
        return 0, 0, height, width
    factor = min(height / rows, width / columns)
    tall, wide = max(1, min(height, round(rows * factor))), max(1, min(width, round(columns * factor)))
    return (0, 0, tall, wide) if resize == "corner" else ((height - tall) // 2, (width - wide) // 2, tall, wide)


def resized(image: Image, settings: Preparation, *, fill: int = 0) -> Image:
    """One frame, or a part of one, at the graph's size: (*size, 3) uint8 BGR.

    Args:
        image: (H, W, 3) uint8 BGR.
        settings: size and resize.
        fill: grey level, 0 to 255, of the padding with "pad" and "corner".
    """
    height, width = settings.size
    rows, columns = image.shape[:2]
    if settings.resize == "crop":
        factor = max(height / rows, width / columns)
        whole = _scaled(image, max(height, round(rows * factor)), max(width, round(columns * factor)))
        top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
        return whole[top : top + height, left : left + width]
    top, left, tall, wide = place_of(rows, columns, settings.size, settings.resize)
    whole = _scaled(image, tall, wide)
    if (tall, wide) == (height, width):
        return whole
    padded = np.full((height, width, 3), fill, np.uint8)
    padded[top : top + tall, left : left + wide] = whole
    return padded


def _scaled(image: Image, height: int, width: int) -> Image:
    """Area mean for shrinking, linear interpolation for enlarging."""
    if image.shape[:2] == (height, width):
        return image
    smaller = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
