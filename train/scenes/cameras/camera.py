"""The geometry of a camera: how large a person is at each place of the picture, and how the ground lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from numpy.random import Generator

from wsra.train.scenes.cameras.style import Style

WIDTH_PX, HEIGHT_PX, FPS = 320, 240, 8
ASPECT = WIDTH_PX / HEIGHT_PX

View = Literal["side", "depth", "oblique", "top"]
Place = tuple[float, float]  # x as a share of the width, y of the height, downwards


@dataclass(frozen=True)
class Camera:
    """A fixed camera. The picture is orthographic around each body, with the size that belongs to its place.

    Attributes:
        view: whether actors pass sideways, come nearer, or are seen from high up or from above.
        pitch_rad: how far the camera looks down; 0 is level.
        horizon: y at which sizes vanish; negative above the picture.
        reach: the height of a man at y = 1 who faces a level camera, as a share of the picture's height.
        low: the highest place in the picture where somebody stands (the least y).
        high: the lowest one; beyond 1 the feet are below the picture.
        road: whether mostly vehicles pass.
        busy: whether many pass at once.
    """

    view: View
    pitch_rad: float
    horizon: float
    reach: float
    low: float
    high: float
    road: bool
    busy: bool

    def size(self, y: float) -> float:
        """The length of a man at a place, as a share of the picture's height; below the picture it grows by a fifth at most."""
        return self.reach * min(max(0.08, (y - self.horizon) / (1.0 - self.horizon)), 1.2)

    def height(self, y: float) -> float:
        """How high a standing man appears at a place, as a share of the picture's height."""
        return self.size(y) * math.cos(self.pitch_rad)

    @property
    def depth(self) -> float:
        """How much longer a distance away from the camera is on the ground than in the picture; at most 2.5."""
        return min(2.5, 1.0 / math.sin(self.pitch_rad))

    def ground(self, start: Place, end: Place) -> tuple[float, float]:
        """The ground distance between two places, to the right and towards the camera, in shares of the picture's height."""
        return (end[0] - start[0]) * ASPECT, (end[1] - start[1]) * self.depth


def draw_camera(rng: Generator, style: Style) -> Camera:
    """Draw a random camera."""
    chance = rng.random()
    road, busy = bool(rng.random() < 0.25), bool(rng.random() < 0.2)
    if chance < 0.32:
        view: View = "side"
        pitch, horizon, shown, low, high = rng.uniform(4, 12), rng.uniform(0.15, 0.38), rng.uniform(0.38, 0.7), 0.62, 0.98
    elif chance < 0.68:
        view = "depth"
        horizon = rng.uniform(-0.4, 0.3)
        pitch, shown, low, high = rng.uniform(10, 30), rng.uniform(0.3, 1.05), max(0.35, horizon + 0.3), 1.1
    elif chance < 0.9:
        view = "oblique"
        pitch, horizon, shown, low, high = rng.uniform(32, 55), rng.uniform(-3.0, -0.6), rng.uniform(0.18, 0.5), 0.25, 1.02
    else:
        view = "top"
        pitch, horizon, shown, low, high = rng.uniform(68, 86), -40.0, rng.uniform(0.2, 0.42), 0.1, 0.95
    if busy and view != "side":
        shown = rng.uniform(0.16, 0.3)
    if road:
        shown = rng.uniform(0.14, 0.36)
    angle = math.radians(float(pitch))
    reach = float(shown) * style.size / (1.0 if view == "top" else math.cos(angle))
    return Camera(view, angle, float(horizon), reach, low, high, road, busy and view != "side")
