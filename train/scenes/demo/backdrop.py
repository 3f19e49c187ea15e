"""Backgrounds of fixed cameras. Each is drawn once per clip, so drawing may be slow."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wsra.train.scenes.demo.world import Clip, Shade

Image = NDArray[Any]  # (H, W, 3) uint8; OpenCV's types promise only "an array"


def bgr(shade: Shade) -> tuple[int, int, int]:
    """Convert a shade from OpenCV's HSV to BGR."""
    pixel = cv2.cvtColor(np.array([[shade]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def _texture(rng: Generator, height_px: int, width_px: int, *, grain: int, strength: float) -> NDArray[np.float32]:
    coarse = rng.normal(0, 1, (height_px // grain + 2, width_px // grain + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC) * strength)


def _muted(rng: Generator, hues: tuple[int, int], saturation: tuple[int, int], value: tuple[int, int]) -> tuple[int, int, int]:
    return bgr((int(rng.integers(*hues)), int(rng.integers(*saturation)), int(rng.integers(*value))))


def _facade(rng: Generator, image: Image, horizon_px: int) -> None:
    width_px = image.shape[1]
    x = 0
    while x < width_px:
        house_px = int(rng.integers(50, 110))
        cv2.rectangle(image, (x, 0), (x + house_px, horizon_px), _muted(rng, (5, 30), (15, 70), (110, 190)), -1)
        for column in range(x + 8, x + house_px - 14, 22):
            for row in range(6, horizon_px - 14, 24):
                cv2.rectangle(image, (column, row), (column + 11, row + 13), _muted(rng, (95, 110), (20, 60), (60, 150)), -1)
        x += house_px


def _trees(rng: Generator, image: Image, horizon_px: int) -> None:
    image[:horizon_px] = _muted(rng, (100, 110), (20, 70), (190, 230))
    for _ in range(int(rng.integers(4, 9))):
        x, size = int(rng.integers(0, image.shape[1])), int(rng.integers(14, 34))
        cv2.line(image, (x, horizon_px), (x, horizon_px - size), (40, 60, 80), 3)
        cv2.circle(image, (x, horizon_px - size), size, _muted(rng, (38, 60), (70, 130), (60, 120)), -1, cv2.LINE_AA)


def _wall(rng: Generator, image: Image, horizon_px: int) -> None:
    image[:horizon_px] = _muted(rng, (10, 110), (8, 40), (140, 210))
    for _ in range(int(rng.integers(1, 4))):
        x = int(rng.integers(0, image.shape[1] - 30))
        cv2.rectangle(image, (x, horizon_px // 4), (x + 26, horizon_px), _muted(rng, (8, 20), (40, 110), (70, 140)), -1)


def _bricks(rng: Generator, image: Image, horizon_px: int) -> None:
    image[:horizon_px] = _muted(rng, (4, 12), (60, 110), (110, 160))
    for row in range(0, horizon_px, 7):
        cv2.line(image, (0, row), (image.shape[1], row), (150, 155, 160), 1)
        for column in range((row // 7 % 2) * 9, image.shape[1], 18):
            cv2.line(image, (column, row), (column, row + 7), (150, 155, 160), 1)


def _columns(rng: Generator, image: Image, horizon_px: int) -> None:
    image[:horizon_px] = _muted(rng, (90, 120), (10, 50), (90, 150))
    colour = _muted(rng, (10, 30), (5, 30), (150, 210))
    for x in range(int(rng.integers(0, 40)), image.shape[1], int(rng.integers(50, 90))):
        cv2.rectangle(image, (x, 0), (x + 12, horizon_px + 4), colour, -1)


def _arches(rng: Generator, image: Image, horizon_px: int) -> None:
    image[:horizon_px] = _muted(rng, (12, 24), (30, 80), (130, 190))
    dark = _muted(rng, (100, 120), (20, 60), (40, 80))
    for x in range(int(rng.integers(10, 40)), image.shape[1], int(rng.integers(44, 70))):
        cv2.circle(image, (x, horizon_px - 22), 13, dark, -1, cv2.LINE_AA)
        cv2.rectangle(image, (x - 13, horizon_px - 22), (x + 13, horizon_px), dark, -1)


# (upper part, hues, saturation and value of the ground); the last three only in test clips.
_STYLES = {
    "street": (_facade, (90, 120), (4, 20), (90, 140)),
    "park": (_trees, (36, 55), (60, 110), (90, 140)),
    "hall": (_wall, (10, 30), (10, 45), (120, 190)),
    "parking": (_facade, (100, 120), (5, 20), (70, 110)),
    "courtyard": (_bricks, (12, 24), (25, 60), (110, 165)),
    "platform": (_columns, (90, 110), (8, 30), (120, 170)),
    "square": (_arches, (14, 26), (15, 50), (140, 190)),
}
TRAIN_STYLES, TEST_STYLES = ("street", "park", "hall", "parking"), ("courtyard", "platform", "square")


def backdrop(clip: Clip, width_px: int, height_px: int) -> Image:
    """Draw the empty scene of a clip.

    Returns:
        (height_px, width_px, 3) uint8 BGR.
    """
    rng = np.random.default_rng([clip.seed, 1])
    names = TEST_STYLES if clip.split == "test" else TRAIN_STYLES
    style = names[int(rng.integers(len(names)))]
    upper, hues, saturation, value = _STYLES[style]
    horizon_px = int(clip.horizon * height_px)
    image = np.zeros((height_px, width_px, 3), np.uint8)
    upper(rng, image, horizon_px)
    image[horizon_px:] = _muted(rng, hues, saturation, value)
    if style in ("street", "parking"):
        for x in range(int(rng.integers(0, 60)), width_px, int(rng.integers(50, 100))):
            foot_x = int(width_px / 2 + (x - width_px / 2) * 2.2)
            cv2.line(image, (x, horizon_px + 12), (foot_x, height_px), (185, 190, 190), 2, cv2.LINE_AA)
    shading = _texture(rng, height_px, width_px, grain=3, strength=5.0)
    shading += _texture(rng, height_px, width_px, grain=40, strength=9.0)
    shaded: Image = np.clip(image + shading[..., None], 0, 255).astype(np.uint8)
    return shaded
