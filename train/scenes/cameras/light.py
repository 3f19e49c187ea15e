"""Turns a painted frame into a camera image: light, tone curve, colours, rain, blur, grain and low resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wsra.train.scenes.cameras.body import Sun, darken, pose_of
from wsra.train.scenes.cameras.camera import HEIGHT_PX, WIDTH_PX
from wsra.train.scenes.cameras.look import VEHICLES
from wsra.train.scenes.cameras.pen import Image
from wsra.train.scenes.cameras.world import Clip

_SPARE = 32  # noise and rain exceed the picture by this margin, and are shifted at random in each frame


@dataclass(frozen=True)
class _Numbers:
    """Light and camera of a clip; see `Style` for the ranges."""

    gains: NDArray[np.float64]
    colourful: float
    curve: NDArray[np.uint8]
    swell: float
    period_s: float
    cloud_at_s: float
    cloud: float
    auto: float
    blur: float
    lower: float
    shake: float


class Photography:
    """The light and the camera of one clip; frames must be given in order."""

    def __init__(self, clip: Clip) -> None:
        rng = np.random.default_rng([clip.seed, 2])
        self._clip = clip
        self._rng = rng
        self._numbers = _draw(rng, clip)
        sigma = float(rng.uniform(*clip.style.grain)) * (1.5 if clip.night else 1.0)
        self._noise = [_noise(rng, sigma, coarse=bool(rng.random() < 0.5)) for _ in range(2)]
        self._lamps = _lamps(rng) if clip.night else None
        self._rain = _streaks(rng) if clip.rain else None
        self._level: float | None = None
        self._first = 1.0
        sunny = not clip.night and not clip.rain and rng.random() < 0.45
        length = float(rng.uniform(0.5, 1.6)) * float(rng.choice([-1, 1])) if sunny else 0.0
        self.sun = Sun(float(rng.uniform(0.1, 0.5)), abs(length), float(rng.uniform(0.4, 1.0)) * math.copysign(1.0, length))

    def take(self, frame: Image, number: int, time_s: float) -> Image:
        """Photograph a painted frame.

        Args:
            frame: (240, 320, 3) uint8 BGR in daylight; it is overwritten.
            number: of the frame, from 0.
            time_s: its time.
        """
        numbers = self._numbers
        if self._lamps is not None:
            frame = np.asarray(cv2.multiply(frame, self._lamps, dtype=cv2.CV_8U))
            self._headlights(frame, time_s)
        light = 1 + numbers.swell * math.sin(2 * math.pi * time_s / numbers.period_s)
        light += numbers.cloud * min(max((time_s - numbers.cloud_at_s) / 2.5, 0.0), 1.0)
        level = float(frame[::4, ::4].mean()) + 1.0
        self._level = level if self._level is None else self._level + 0.25 * (level - self._level)
        if number == 0:
            self._first = self._level
        light *= (self._first / self._level) ** numbers.auto
        mixed = numbers.colourful * np.eye(3) + (1 - numbers.colourful) / 3
        frame = np.asarray(cv2.LUT(cv2.transform(frame, mixed @ np.diag(numbers.gains * light)), numbers.curve))
        if self._rain is not None:
            row, column = (int(n) for n in self._rng.integers(0, _SPARE, 2))
            fallen = self._rain[number % 2][row : row + HEIGHT_PX, column : column + WIDTH_PX]
            frame = np.asarray(cv2.add(frame, np.ascontiguousarray(fallen)))
        if numbers.shake > 0:
            moved = np.array([[1, 0, numbers.shake * math.sin(time_s * 7.1)], [0, 1, numbers.shake * math.sin(time_s * 5.3 + 1)]])
            frame = np.asarray(cv2.warpAffine(frame, moved, (WIDTH_PX, HEIGHT_PX), borderMode=cv2.BORDER_REPLICATE))
        if numbers.blur > 0.4:
            frame = np.asarray(cv2.GaussianBlur(frame, (3, 3), numbers.blur))
        row, column = (int(n) for n in self._rng.integers(0, _SPARE, 2))
        grain = self._noise[number % 2][row : row + HEIGHT_PX, column : column + WIDTH_PX]
        frame = np.asarray(cv2.add(frame, np.ascontiguousarray(grain), dtype=cv2.CV_8U))
        if numbers.lower < 1:
            small = cv2.resize(frame, None, fx=numbers.lower, fy=numbers.lower, interpolation=cv2.INTER_AREA)
            frame = np.asarray(cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR))
        return frame

    def _headlights(self, frame: Image, time_s: float) -> None:
        """Cones of light before vehicles that drive at night."""
        for actor in self._clip.actors:
            if actor.traits.kind in (*VEHICLES, "motorcycle") and actor.start_s <= time_s <= actor.end_s:
                pose = pose_of(actor, time_s)
                size = self._clip.camera.size(pose.place[1]) * HEIGHT_PX
                steep = math.sin(self._clip.camera.pitch_rad)
                x = pose.place[0] * WIDTH_PX + math.sin(pose.heading_rad) * size * 2.6
                y = pose.place[1] * HEIGHT_PX + math.cos(pose.heading_rad) * size * 2.6 * steep
                darken(frame, (x, y), (size * 1.5, size * (0.2 + 0.9 * steep)), -1.3)


def _draw(rng: Generator, clip: Clip) -> _Numbers:
    style = clip.style
    cast = np.exp(rng.normal(0, style.cast * (1.5 if clip.night else 1.0), 3))
    gamma = float(rng.uniform(*style.gamma))
    return _Numbers(
        gains=cast / cast.mean() * float(rng.uniform(*style.gain)),
        colourful=float(rng.uniform(*style.colourful)) * (0.8 if clip.night else 1.0),
        curve=(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8),
        swell=float(rng.uniform(0, 0.06)),
        period_s=float(rng.uniform(8, 30)),
        cloud_at_s=float(rng.uniform(0, clip.duration_s)),
        cloud=float(rng.uniform(-0.2, 0.2)) * (rng.random() < 0.3),
        auto=float(rng.uniform(0, 0.9)) * (rng.random() < 0.6),
        blur=float(rng.uniform(0, style.blur)),
        lower=float(rng.uniform(0.55, 1)) if rng.random() < 0.4 else 1.0,
        shake=float(rng.uniform(0.15, 0.6)) if rng.random() < 0.08 else 0.0,
    )


def _noise(rng: Generator, sigma: float, *, coarse: bool) -> NDArray[np.int16]:
    noise = rng.normal(0, sigma, (HEIGHT_PX + _SPARE, WIDTH_PX + _SPARE, 3)).astype(np.float32)
    if coarse:
        noise = np.asarray(cv2.GaussianBlur(noise, (3, 3), 0) * 1.8, np.float32)
    return np.asarray(noise, np.int16)


def _lamps(rng: Generator) -> NDArray[np.float32]:
    """Factors on brightness at night, per channel: little light everywhere, more under lamps."""
    down, across = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    light = np.full((HEIGHT_PX, WIDTH_PX), float(rng.uniform(0.4, 0.6)))
    for _ in range(int(rng.integers(1, 4))):
        x, y = float(rng.uniform(0, WIDTH_PX)), float(rng.uniform(0.3, 0.9)) * HEIGHT_PX
        wide = float(rng.uniform(45, 110))
        light += float(rng.uniform(0.3, 0.7)) * np.exp(-(((across - x) / wide) ** 2) - ((down - y) / (wide * 0.6)) ** 2)
    warm = np.array([float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.9, 1.0)), 1.0])
    return np.asarray(np.minimum(light[..., None] * warm, 1.2), np.float32)


def _streaks(rng: Generator) -> list[NDArray[np.uint8]]:
    """Two layers of falling rain, to be added to the picture."""
    sheets = []
    slant, bright = float(rng.uniform(-0.3, 0.3)), int(rng.integers(25, 70))
    count = int(rng.integers(60, 220))
    for _ in range(2):
        sheet = np.zeros((HEIGHT_PX + _SPARE, WIDTH_PX + _SPARE, 3), np.uint8)
        for x, y, length in zip(
            rng.integers(0, WIDTH_PX + _SPARE, count), rng.integers(0, HEIGHT_PX + _SPARE, count), rng.integers(5, 16, count), strict=True
        ):
            end = int(x + slant * length), int(y + length)
            cv2.line(sheet, (int(x), int(y)), end, (bright, bright, bright), 1, cv2.LINE_AA)
        sheets.append(sheet)
    return sheets
