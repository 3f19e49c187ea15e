"""The path of an actor through the picture: it enters, may stop, turn or stand, and leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.camera import ASPECT, Camera, Place
from wsra.train.scenes.cameras.look import ANIMALS, ON_FOOT, VEHICLES, Kind

Side = Literal["left", "right", "bottom", "top"]

# In heights of a man: how tall a body is, and how far it reaches from its middle on the ground.
TALL: dict[Kind, float] = {
    "man": 1.0, "woman": 0.94, "child": 0.64, "cyclist": 1.0, "motorcycle": 0.95, "dog": 0.42, "cat": 0.24,
    "car": 0.82, "van": 1.2, "truck": 1.75, "bus": 1.75,
}  # fmt: skip
REACH: dict[Kind, float] = {
    "man": 0.22, "woman": 0.22, "child": 0.16, "cyclist": 0.5, "motorcycle": 0.62, "dog": 0.42, "cat": 0.3,
    "car": 1.25, "van": 1.5, "truck": 2.1, "bus": 2.7,
}  # fmt: skip
SPEED = {"walks": 0.6, "runs": 1.3, "rides": 1.3, "drives": 2.0}  # heights of a man per second
_SPARE = 1.22  # spread of body sizes around these
STANDS_S = 2.5  # a shorter stop is not described as standing


@dataclass(frozen=True)
class Path:
    """A path of straight stretches; a stretch without length is a stop.

    Attributes:
        times_s: when each place is reached.
        places: where the feet are, or the middle of a vehicle on the ground.
    """

    times_s: tuple[float, ...]
    places: tuple[Place, ...]

    def stretch(self, time_s: float) -> int:
        """The stretch of the path at this moment."""
        found = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return min(max(found, 0), len(self.times_s) - 2)

    def place(self, time_s: float) -> Place:
        """The place at this moment."""
        k = self.stretch(time_s)
        length = self.times_s[k + 1] - self.times_s[k]
        share = min(max((time_s - self.times_s[k]) / length, 0.0), 1.0)
        (x0, y0), (x1, y1) = self.places[k], self.places[k + 1]
        return x0 + share * (x1 - x0), y0 + share * (y1 - y0)

    def is_stop(self, stretch: int) -> bool:
        """Whether the actor stands still during this stretch."""
        return self.places[stretch] == self.places[stretch + 1]

    def headings(self, camera: Camera) -> tuple[float, ...]:
        """Heading of each stretch: 0 towards the camera, pi/2 to the right; a stop keeps the heading before it."""
        angles: list[float] = []
        for k in range(len(self.times_s) - 1):
            right, towards = camera.ground(self.places[k], self.places[k + 1])
            angles.append(angles[-1] if self.is_stop(k) and angles else math.atan2(right, towards))
        return tuple(angles)

    def directions(self, camera: Camera) -> tuple[str, ...]:
        """Direction of each stretch that is not a stop: "left", "right", "towards" or "away"."""
        directions = []
        for k, angle in enumerate(self.headings(camera)):
            if not self.is_stop(k):
                sideways = abs(math.sin(angle)) >= 0.62
                across, along = "right" if math.sin(angle) > 0 else "left", "towards" if math.cos(angle) > 0 else "away"
                directions.append(across if sideways else along)
        return tuple(directions)


def draw_path(rng: Generator, camera: Camera, kind: Kind, gait: str, start_s: float) -> tuple[Path, bool]:
    """Draw a random path.

    Returns:
        The path, and whether the actor stops for long enough to be described as standing.
    """
    level = _level(rng, camera)
    enters, leaves = _sides(rng, camera, kind)
    first = _beyond(rng, camera, kind, enters, level)
    turned = enters == leaves
    across = camera.view == "side" or kind in VEHICLES or rng.random() < 0.4
    last_level = float(np.clip(level + rng.uniform(-0.05, 0.05), camera.low, camera.high)) if across else _level(rng, camera)
    last = _beyond(rng, camera, kind, leaves, last_level)
    if kind in VEHICLES and {enters, leaves} == {"top", "bottom"}:
        last = (first[0] + float(rng.uniform(-0.1, 0.1)), last[1])
    may_stop = gait == "walks" or (gait in ("drives", "rides") and rng.random() < 0.3)
    stops = bool(may_stop and rng.random() < 0.45)
    middles = [_middle(rng, camera, first, last, free=turned or (stops and kind not in VEHICLES))] if stops or turned else []
    if stops and gait == "walks" and camera.view != "side" and rng.random() < 0.2:
        middles.append(_middle(rng, camera, middles[0], last, free=True))
    speed = SPEED[gait] * float(rng.uniform(0.7, 1.25)) * (0.7 if kind in ("child", "cat") else 1.0)
    times, places, stands = [start_s], [first], False
    for place in [*middles, last]:
        right, towards = camera.ground(places[-1], place)
        size = max(0.08, camera.size((places[-1][1] + place[1]) / 2))
        times.append(times[-1] + float(np.clip(math.hypot(right, towards) / (speed * size), 1.6, 12.0)))
        places.append(place)
        if stops and place != last:
            chance = rng.random()
            pause_s = float(rng.uniform(3, 7) if chance < 0.6 else rng.uniform(7, 18) if chance < 0.9 else rng.uniform(18, 30))
            times.append(times[-1] + pause_s)
            places.append(place)
            stands = stands or pause_s >= STANDS_S
    return Path(tuple(times), tuple(places)), stands


def _level(rng: Generator, camera: Camera) -> float:
    return float(rng.uniform(camera.low, camera.high))


def _sides(rng: Generator, camera: Camera, kind: Kind) -> tuple[Side, Side]:
    """The sides where the actor enters and leaves."""
    sides: list[Side] = ["left", "right"]
    if camera.view in ("oblique", "top"):
        sides += ["bottom", "top"]
    elif camera.view == "depth" and kind not in ANIMALS:
        sides.append("bottom")
    enters = sides[int(rng.integers(len(sides)))]
    opposite: dict[Side, Side] = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    if kind in VEHICLES and opposite[enters] in sides:
        return enters, opposite[enters]
    if kind in ON_FOOT and rng.random() < 0.12:
        return enters, enters
    others = [side for side in sides if side != enters]
    return enters, others[int(rng.integers(len(others)))]


def _beyond(rng: Generator, camera: Camera, kind: Kind, side: Side, y: float) -> Place:
    """A place outside the picture where no part of the body is visible."""
    width = _SPARE * REACH[kind] * camera.size(y) / ASPECT + 0.02
    if side == "left":
        return -width, y
    if side == "right":
        return 1.0 + width, y
    x = float(rng.uniform(0.15, 0.85))
    sunk = _SPARE * REACH[kind] * math.sin(camera.pitch_rad)
    if side == "top":
        return x, -sunk * camera.size(0.0) - 0.02
    below = 1.0
    for _ in range(30):  # a body looks larger as it comes nearer
        below = 1.0 + (_SPARE * TALL[kind] * math.cos(camera.pitch_rad) + sunk) * camera.size(below) + 0.02
    return x, below


def _middle(rng: Generator, camera: Camera, first: Place, last: Place, *, free: bool) -> Place:
    """The place where the actor stops or turns."""
    if free and camera.view != "side":
        return float(rng.uniform(0.2, 0.8)), _level(rng, camera)
    share = float(rng.uniform(0.3, 0.7))
    if abs(first[0] - last[0]) < 0.3 and camera.view == "side":
        return share, first[1]
    return first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])
