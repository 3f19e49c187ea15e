"""Frames to an encoder's input: fitted to its size, in its colours, scaled, and laid out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.background import Image
from wsra.runtime.backbones.encoder_settings import EncoderSettings

# From (N, T, H, W, C); an image encoder's single frame per row is taken out before.
_AXES = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 1, 2, 3), "NCTHW": (0, 4, 1, 2, 3), "NTCHW": (0, 1, 4, 2, 3), "NTHWC": (0, 1, 2, 3, 4)}


def fitted(image: Image, settings: EncoderSettings) -> NDArray[np.float32]:
    """One frame, or a part of one, as the encoder wants it.

    Args:
        image: (H, W, 3) uint8 BGR.
        settings: size, resize, colour, scale, mean and std.

    Returns:
        (*size, 3) float32.
    """
    return prepared(resized(image, settings), settings)


def prepared(image: Image, settings: EncoderSettings) -> NDArray[np.float32]:
    """What `resized` gave in the encoder's colours, scaled: (*size, 3) float32."""
    if settings.colour == "RGB":
        image = image[..., ::-1]
    mean, std = np.array(settings.mean, np.float32), np.array(settings.std, np.float32)
    return np.asarray((image * np.float32(settings.scale) - mean) / std, np.float32)


def arranged(rows: Sequence[Sequence[NDArray[np.float32]]], layout: str) -> NDArray[np.float32]:
    """Fitted frames in the axes of an encoder's input.

    Args:
        rows: per row its frames, each (H, W, 3); one frame for an image encoder.
        layout: see `EncoderSettings`.

    Returns:
        float32, contiguous, the first axis over rows.
    """
    stacked = np.stack([np.stack(frames) for frames in rows])
    if len(layout) == 4:
        stacked = stacked[:, 0]
    return np.ascontiguousarray(stacked.transpose(_AXES[layout]))


def resized(image: Image, settings: EncoderSettings) -> Image:
    """One frame, or a part of one, at the encoder's size: (*size, 3) uint8 BGR of (H, W, 3)."""
    height, width = settings.size
    rows, columns = image.shape[:2]
    if settings.resize == "stretch":
        return _scaled(image, height, width)
    factors = height / rows, width / columns
    if settings.resize == "crop":
        factor = max(factors)
        whole = _scaled(image, max(height, round(rows * factor)), max(width, round(columns * factor)))
        top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
        return whole[top : top + height, left : left + width]
    factor = min(factors)
    whole = _scaled(image, max(1, min(height, round(rows * factor))), max(1, min(width, round(columns * factor))))
    padded = np.zeros((height, width, 3), np.uint8)
    top, left = (height - whole.shape[0]) // 2, (width - whole.shape[1]) // 2
    padded[top : top + whole.shape[0], left : left + whole.shape[1]] = whole
    return padded


def _scaled(image: Image, height: int, width: int) -> Image:
    """Mean over areas where it gets smaller, linear where it gets larger."""
    if image.shape[:2] == (height, width):
        return image
    smaller = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
