"""Colour names: the share of each of fifteen names in a pixel, softly, so that a shade between two names counts for both."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Ten hues with their centres (OpenCV hue, 0-179), then the names that do not depend on hue.
HUES = {
    "red": 0,
    "orange": 13,
    "yellow": 28,
    "lime": 44,
    "green": 64,
    "cyan": 88,
    "azure": 105,
    "blue": 118,
    "violet": 142,
    "pink": 165,
}
COLOURS = (*HUES, "brown", "black", "dark grey", "light grey", "white")


def _table() -> NDArray[np.float32]:
    """(45 * 8 * 8, 15): soft colour names of each coarse HSV cell (hue / 4, saturation / 32, value / 32)."""
    hue, saturation, value = np.meshgrid(np.arange(45) * 4 + 2, np.arange(8) * 32 + 16, np.arange(8) * 32 + 16, indexing="ij")
    table = np.zeros((45, 8, 8, len(COLOURS)), np.float32)
    centres = np.array(list(HUES.values()))
    distance = np.abs((hue[..., None] - centres + 90) % 180 - 90)
    hues = np.exp(-((distance / 8.0) ** 2))
    hues /= hues.sum(axis=-1, keepdims=True)
    vivid = np.clip((saturation - 40) / 60.0, 0, 1) * np.clip((value - 40) / 40.0, 0, 1)
    earthy = hues[..., :3].sum(axis=-1) * np.clip((150 - value) / 60.0, 0, 1) * np.clip((200 - saturation) / 40.0, 0, 1)
    table[..., : len(HUES)] = hues * (vivid * (1 - earthy))[..., None]
    table[..., COLOURS.index("brown")] = vivid * earthy
    for name, centre in (("black", 24), ("dark grey", 90), ("light grey", 160), ("white", 235)):
        table[..., COLOURS.index(name)] = np.exp(-(((value - centre) / 38.0) ** 2))
    greys = table[..., -4:]
    greys *= ((1 - vivid) / greys.sum(axis=-1))[..., None]
    return table.reshape(-1, len(COLOURS))


_TABLE = _table()


def named_colours(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """The share of each name in every pixel.

    Args:
        pixels: (N, 3) uint8 BGR.

    Returns:
        (N, 15) shares of `COLOURS`; each row sums to 1.
    """
    hue, saturation, value = np.asarray(cv2.cvtColor(pixels[None], cv2.COLOR_BGR2HSV)[0], np.uint16).T
    return np.asarray(_TABLE.take((hue >> 2) << 6 | (saturation >> 5) << 3 | value >> 5, axis=0))


def lab(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Lightness, green to red, and blue to yellow of pixels (N, 3) uint8 BGR: (N, 3) uint8 as OpenCV scales them, 128 being no hue."""
    return np.asarray(cv2.cvtColor(pixels[None], cv2.COLOR_BGR2LAB)[0], np.uint8)
