"""Distractors, which move but are not actors: shadows without a body, paper, branches, lights on the ground, flags, lamps that flicker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.body import clipped, darken
from wsra.train.scenes.cameras.camera import HEIGHT_PX, WIDTH_PX
from wsra.train.scenes.cameras.look import BANDS, Colour, shade
from wsra.train.scenes.cameras.pen import Image
from wsra.train.scenes.cameras.world import Clip

Sort = Literal["shadow", "light", "paper", "branch", "flag", "flicker"]
SORTS: tuple[Sort, ...] = ("shadow", "light", "paper", "branch", "flag", "flicker")
_ON_GROUND = ("shadow", "light", "flicker")


@dataclass(frozen=True)
class Nuisance:
    """A distractor that moves.

    Attributes:
        sort: what it is.
        start_s, end_s: from when to when it is visible.
        start, end: where it is then, x and y as shares of the picture.
        size: as a share of the picture's height.
        shade: its colour.
        strength: how dark, light or wide its movement is.
        seed: decides its shape.
    """

    sort: Sort
    start_s: float
    end_s: float
    start: tuple[float, float]
    end: tuple[float, float]
    size: float
    shade: Colour
    strength: float
    seed: int

    @property
    def on_ground(self) -> bool:
        """Whether it lies on the ground, behind the actors; the others hang or fly before them."""
        return self.sort in _ON_GROUND

    def paint(self, frame: Image, time_s: float) -> None:
        """Paint the distractor into a frame, in place."""
        if not self.start_s <= time_s <= self.end_s:
            return
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        x = (self.start[0] + share * (self.end[0] - self.start[0])) * WIDTH_PX
        y = (self.start[1] + share * (self.end[1] - self.start[1])) * HEIGHT_PX
        size = self.size * HEIGHT_PX
        if self.sort == "shadow":
            darken(frame, (x, y), (size, size * 0.3), self.strength)
            darken(frame, (x + size * 0.5, y - size * 0.12), (size * 0.7, size * 0.2), self.strength * 0.6)
        elif self.sort == "light":
            darken(frame, (x, y), (size * 1.2, size * 0.35), -self.strength)
        elif self.sort == "flicker":
            on = math.sin(time_s * (5 + self.seed % 9)) + math.sin(time_s * 2.3 + self.seed)
            darken(frame, (x, y), (size * 1.5, size * 1.2), -0.35 * self.strength * (on > 0.3))
        elif self.sort == "paper":
            self._paper(frame, x, y, size, time_s)
        elif self.sort == "branch":
            self._branch(frame, size, time_s)
        else:
            self._flag(frame, size, time_s)

    def _paper(self, frame: Image, x: float, y: float, size: float, time_s: float) -> None:
        turn = time_s * (3 + self.seed % 4)
        y -= abs(math.sin(time_s * 2.2 + self.seed)) * size * 2 * self.strength
        half = np.array([(math.cos(turn), math.sin(turn) * 0.5), (-math.sin(turn) * 0.8, math.cos(turn) * 0.4)]) * size * 0.5
        corners = [
            (x + a * half[0, 0] + b * half[1, 0], y + a * half[0, 1] + b * half[1, 1]) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
        ]
        cv2.fillConvexPoly(frame, np.round(np.array(corners) * 8).astype(np.int32), self.shade, cv2.LINE_AA, 3)

    def _branch(self, frame: Image, size: float, time_s: float) -> None:
        rng = np.random.default_rng([self.seed, 1])
        gust = math.sin(time_s * 0.9 + self.seed) + 0.5 * math.sin(time_s * 2.7)
        for _ in range(16):
            along, away = float(rng.uniform(0, 1)), float(rng.uniform(-1, 1))
            sway = (gust + 0.4 * math.sin(time_s * 5 + along * 9)) * self.strength * 7 * along
            at = self.start[0] * WIDTH_PX + away * size + sway, self.start[1] * HEIGHT_PX + along * size * 1.1 + abs(sway) * 0.2
            axes = int(rng.integers(4, 11)), int(rng.integers(3, 7))
            shaded = tuple(int(channel * float(rng.uniform(0.7, 1.2))) for channel in self.shade)
            cv2.ellipse(frame, (round(at[0]), round(at[1])), axes, float(rng.uniform(0, 180)), 0, 360, shaded, -1, cv2.LINE_AA)

    def _flag(self, frame: Image, size: float, time_s: float) -> None:
        x, y = self.start[0] * WIDTH_PX, self.start[1] * HEIGHT_PX
        steps = np.linspace(0, 1, 7)
        wave = np.sin(steps * 5 - time_s * 4 + self.seed) * size * 0.12 * steps * self.strength * 2
        upper = np.stack([x + steps * size, y + wave], 1)
        lower = np.stack([x + steps * size, y + size * 0.6 + wave], 1)
        outline = np.round(np.concatenate([upper, lower[::-1]]) * 8).astype(np.int32)
        box = clipped((x - 3, y - 3, x + 2, y + size * 2.4))
        if box is not None:
            frame[box[1] : box[3], box[0] : box[2]] = (80, 80, 80)
        cv2.fillPoly(frame, [outline], self.shade, cv2.LINE_AA, 3)


def draw_nuisances(clip: Clip) -> list[Nuisance]:
    """Draw the distractors of a clip."""
    rng = np.random.default_rng([clip.seed, 7])
    found = []
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.1]))):
        weights = np.array([0.26, 0.16 if clip.night else 0.08, 0.24, 0.22, 0.1, 0.1])
        sort = SORTS[int(rng.choice(len(SORTS), p=weights / weights.sum()))]
        found.append(_draw(rng, clip, sort))
    return found


def _draw(rng: Generator, clip: Clip, sort: Sort) -> Nuisance:
    whole = 0.0, clip.duration_s
    low = max(0.15, clip.camera.low - 0.1)
    y = float(rng.uniform(low, 0.98))
    passes_s = float(rng.uniform(2, 9))
    begins_s = float(rng.uniform(0, max(1.0, clip.duration_s - passes_s)))
    ways = ((-0.35, 1.35), (1.35, -0.35))
    from_x, to_x = ways[int(rng.integers(2))]
    to_y = float(np.clip(y + rng.uniform(-0.2, 0.2), low, 1.0))
    colour = shade(rng, BANDS[str(rng.choice(list(BANDS)))], clip.style)
    seed = int(rng.integers(1 << 30))
    size = clip.camera.size(y)
    if sort in ("shadow", "light"):
        strength = float(rng.uniform(0.2, 0.5) if sort == "shadow" else rng.uniform(0.3, 0.8))
        return Nuisance(
            sort, begins_s, begins_s + passes_s, (from_x, y), (to_x, to_y), size * float(rng.uniform(0.5, 1.4)), colour, strength, seed
        )
    if sort == "paper":
        pale = shade(rng, BANDS[str(rng.choice(["white", "white", "beige", "light blue", "brown"]))], clip.style)
        return Nuisance(
            sort, begins_s, begins_s + passes_s, (from_x, y), (to_x, to_y), max(0.02, size * 0.22), pale, float(rng.uniform(0.2, 1)), seed
        )
    if sort == "branch":
        leaf = shade(rng, BANDS[str(rng.choice(["green", "dark green", "brown"]))], clip.style)
        at = (float(rng.choice([0.0, 1.0])) + float(rng.uniform(-0.08, 0.08)), float(rng.uniform(-0.1, 0.6)))
        return Nuisance(sort, *whole, at, at, float(rng.uniform(0.15, 0.35)), leaf, float(rng.uniform(0.3, 1.2)), seed)
    at = (float(rng.uniform(0.03, 0.9)), float(rng.uniform(0.05, 0.5)))
    scale = float(rng.uniform(0.06, 0.16))
    return Nuisance(sort, *whole, at, at, scale, colour, float(rng.uniform(0.4, 1.0)), seed)
