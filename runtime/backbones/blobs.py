"""What moves in a frame, described one by one: place, size, silhouette and the colours of head, upper and lower part."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.background import Image, Mask

# Colours as soft bins. Ten hues, centred (OpenCV hue, 0-179), then those that hue does not tell.
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
SILHOUETTE_ROWS, SILHOUETTE_COLUMNS = 8, 3
MIN_AREA = 0.0008  # of the frame
PARTS = {"head": (0.0, 0.17), "upper": (0.2, 0.48), "lower": (0.55, 0.92)}  # shares of the height, from the top


@dataclass(frozen=True)
class Blob:
    """One connected piece of foreground.

    Attributes:
        x, foot: middle and lowest row, as shares of the frame's width and height.
        width, height: of its box, as shares of the frame's width and height.
        aspect: width / height of its box in pixels.
        area: share of the frame's pixels.
        cut: 1 when its box touches the left or right edge of the frame, else 0.
        silhouette: (24,) share of foreground in 8 rows (from the top) by 3 columns (outermost to middle, both sides averaged).
        colours: (3, 15) shares of `COLOURS` in head, upper and lower part.
    """

    x: float
    foot: float
    width: float
    height: float
    aspect: float
    area: float
    cut: float
    silhouette: NDArray[np.float32]
    colours: NDArray[np.float32]


def _colour_table() -> NDArray[np.float32]:
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


_TABLE = _colour_table()


def _colour_codes(image: Image) -> NDArray[np.uint16]:
    hue, saturation, value = (np.asarray(channel, np.uint8) for channel in cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV)))
    return np.asarray((hue >> 2).astype(np.uint16) << 6 | (saturation >> 5 << 3 | value >> 5))


def _shares(codes: NDArray[np.uint16], mask: Mask) -> NDArray[np.float32]:
    chosen = codes[mask]
    if chosen.size == 0:
        return np.zeros(len(COLOURS), np.float32)
    return np.asarray(_TABLE[chosen].mean(axis=0))


def find_blobs(image: Image, foreground: Mask) -> list[Blob]:
    """Describe every connected piece of foreground that is large enough.

    Args:
        image: (H, W, 3) uint8 BGR.
        foreground: (H, W) bool.

    Returns:
        Blobs, the largest first.
    """
    height, width = foreground.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.view(np.uint8), connectivity=8)
    large = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= max(12, MIN_AREA * height * width)]
    if not large:
        return []
    blobs = []
    for label in large:
        left, top, box_width, box_height, area = (int(n) for n in stats[label])
        mask = labels[top : top + box_height, left : left + box_width] == label
        cells = cv2.resize(mask.astype(np.float32), (SILHOUETTE_COLUMNS * 2, SILHOUETTE_ROWS), interpolation=cv2.INTER_AREA)
        folded = (cells[:, :SILHOUETTE_COLUMNS] + cells[:, : SILHOUETTE_COLUMNS - 1 : -1]) / 2
        codes = _colour_codes(image[top : top + box_height, left : left + box_width])
        colours = []
        for first, last in PARTS.values():
            rows = slice(int(first * box_height), max(int(first * box_height) + 1, int(last * box_height)))
            colours.append(_shares(codes[rows], mask[rows]))
        blobs.append(
            Blob(
                x=(left + box_width / 2) / width,
                foot=(top + box_height) / height,
                width=box_width / width,
                height=box_height / height,
                aspect=box_width / box_height,
                area=area / (height * width),
                cut=float(left == 0 or left + box_width == width),
                silhouette=folded.reshape(-1),
                colours=np.stack(colours),
            )
        )
    return sorted(blobs, key=lambda blob: -blob.area)
