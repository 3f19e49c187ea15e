"""Silhouettes: what an actor looks like at one moment, painted into a frame.

A pen maps body coordinates to pixels: (along, up) with `along` forward in the walking direction and `up` from the ground, both as
fractions of the body's height.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from wsra.train.scenes.demo.backdrop import Image, bgr
from wsra.train.scenes.demo.world import RELATIVE_HEIGHT, RELATIVE_LENGTH, Actor, Clip, Kind

Point = tuple[float, float]
Colour = tuple[int, int, int]
SHIFT = 3  # sub-pixel bits of OpenCV's drawing


@dataclass(frozen=True)
class Pen:
    """Paints in body coordinates.

    Attributes:
        image: (height, width, 3) uint8 BGR, painted in place.
        x_px: where the body stands.
        foot_px: y of its foot.
        height_px: its height.
        forward: 1 when it moves to the right, -1 to the left.
        stretch: a factor on widths.
    """

    image: Image
    x_px: float
    foot_px: float
    height_px: float
    forward: int
    stretch: float

    def _px(self, point: Point) -> tuple[int, int]:
        x = self.x_px + self.forward * point[0] * self.stretch * self.height_px
        y = self.foot_px - point[1] * self.height_px
        return round(x * (1 << SHIFT)), round(y * (1 << SHIFT))

    def shape(self, colour: Colour, points: Sequence[Point]) -> None:
        """Fill a convex polygon."""
        corners = np.array([self._px(p) for p in points], np.int32)
        cv2.fillConvexPoly(self.image, corners, colour, cv2.LINE_AA, SHIFT)

    def box(self, colour: Colour, left: float, right: float, bottom: float, top: float) -> None:
        """Fill a rectangle."""
        self.shape(colour, [(left, bottom), (right, bottom), (right, top), (left, top)])

    def stroke(self, colour: Colour, start: Point, end: Point, width: float) -> None:
        """Draw a line as wide as `width` body heights."""
        thickness = max(1, round(width * self.height_px))
        cv2.line(self.image, self._px(start), self._px(end), colour, thickness, cv2.LINE_AA, SHIFT)

    def oval(self, colour: Colour, centre: Point, along: float, up: float) -> None:
        """Fill an ellipse with the given half axes."""
        axes = (round(along * self.stretch * self.height_px * (1 << SHIFT)), round(up * self.height_px * (1 << SHIFT)))
        cv2.ellipse(self.image, self._px(centre), axes, 0, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)

    def ring(self, colour: Colour, centre: Point, radius: float) -> None:
        """Draw a circle's outline."""
        thickness = max(1, round(0.03 * self.height_px))
        cv2.circle(
            self.image,
            self._px(centre),
            round(radius * self.height_px * (1 << SHIFT)),
            colour,
            thickness,
            cv2.LINE_AA,
            SHIFT,
        )


def _head(pen: Pen, colours: dict[str, Colour], *, up: float, size: float, long_hair: bool) -> None:
    if long_hair:
        pen.shape(
            colours["hair"],
            [(-1.5 * size, up - 2.6 * size), (0.5 * size, up - 2.4 * size), (0.7 * size, up), (-1.2 * size, up)],
        )
        pen.oval(colours["hair"], (-0.15 * size, up + 0.15 * size), 1.2 * size, 1.1 * size)
        pen.oval(colours["skin"], (0.35 * size, up - 0.1 * size), 0.75 * size, 0.85 * size)
    else:
        pen.oval(colours["hair"], (-0.1 * size, up + 0.2 * size), size, 0.9 * size)
        pen.oval(colours["skin"], (0.15 * size, up - 0.15 * size), 0.85 * size, 0.85 * size)


def _legs(pen: Pen, colour: Colour, *, hip: float, swing: float, width: float) -> None:
    for side in (-1, 1):
        pen.stroke(colour, (0.03 * side, hip), (side * swing * 0.5 * hip, 0.02), width)


def _arms(pen: Pen, colours: dict[str, Colour], *, shoulder: float, swing: float, width: float) -> None:
    for side in (-1, 1):
        hand = (-side * swing * 0.22, shoulder - 0.33)
        elbow = (-side * swing * 0.10 + 0.02 * side, shoulder - 0.18)
        pen.stroke(colours["upper"], (0.0, shoulder - 0.03), elbow, width)
        pen.stroke(colours["skin"], elbow, hand, width * 0.8)


def _man(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    _legs(pen, colours["lower"], hip=0.50, swing=swing, width=0.085)
    pen.shape(colours["upper"], [(-0.09, 0.46), (0.09, 0.46), (0.135, 0.80), (0.06, 0.84), (-0.06, 0.84), (-0.135, 0.80)])
    _arms(pen, colours, shoulder=0.81, swing=swing, width=0.06)
    _head(pen, colours, up=0.92, size=0.065, long_hair=False)


def _woman(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    _legs(pen, colours["skin"], hip=0.30, swing=swing * 0.8, width=0.05)
    pen.shape(colours["lower"], [(-0.15, 0.24), (0.15, 0.24), (0.07, 0.56), (-0.07, 0.56)])
    pen.shape(colours["upper"], [(-0.075, 0.53), (0.075, 0.53), (0.10, 0.80), (0.04, 0.84), (-0.04, 0.84), (-0.10, 0.80)])
    _arms(pen, colours, shoulder=0.80, swing=swing, width=0.045)
    _head(pen, colours, up=0.91, size=0.07, long_hair=True)


def _child(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    _legs(pen, colours["lower"], hip=0.40, swing=swing, width=0.11)
    pen.shape(colours["upper"], [(-0.12, 0.36), (0.12, 0.36), (0.14, 0.68), (-0.14, 0.68)])
    _arms(pen, colours, shoulder=0.67, swing=swing, width=0.08)
    _head(pen, colours, up=0.85, size=0.125, long_hair=False)


def _cyclist(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    dark = (45, 45, 45)
    for x in (-0.28, 0.28):
        pen.ring(dark, (x, 0.19), 0.18)
    for start, end in (
        ((-0.28, 0.19), (-0.06, 0.46)),
        ((-0.06, 0.46), (0.22, 0.48)),
        ((0.28, 0.19), (0.22, 0.54)),
        ((0, 0.2), (0.22, 0.48)),
    ):
        pen.stroke((60, 60, 150), start, end, 0.025)
    pen.stroke(colours["lower"], (-0.06, 0.54), (0.10 + 0.04 * swing, 0.36), 0.08)
    pen.stroke(colours["lower"], (0.10 + 0.04 * swing, 0.36), (0.02 - 0.06 * swing, 0.16), 0.07)
    pen.shape(colours["upper"], [(-0.15, 0.50), (0.0, 0.48), (0.20, 0.76), (0.12, 0.84), (0.02, 0.82)])
    pen.stroke(colours["upper"], (0.13, 0.76), (0.24, 0.56), 0.05)
    _head(pen, colours, up=0.91, size=0.065, long_hair=False)


def _dog(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    coat = colours["upper"]
    for hip in (-0.42, 0.38):
        for side in (-1, 1):
            pen.stroke(coat, (hip, 0.45), (hip + 0.22 * swing * side, 0.03), 0.11)
    pen.oval(coat, (0.0, 0.56), 0.55, 0.22)
    pen.stroke(coat, (-0.5, 0.62), (-0.75, 0.85 + 0.08 * swing), 0.08)
    pen.oval(coat, (0.58, 0.80), 0.22, 0.18)
    pen.oval(coat, (0.76, 0.75), 0.14, 0.09)


def _wheels(pen: Pen, hubs: tuple[float, float], radius: float) -> None:
    for hub in hubs:
        pen.oval((30, 30, 30), (hub, radius), radius, radius)
        pen.oval((140, 140, 140), (hub, radius), 0.45 * radius, 0.45 * radius)


def _car(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    glass = (95, 85, 70)
    pen.shape(colours["upper"], [(-0.78, 0.58), (0.55, 0.58), (0.28, 1.0), (-0.52, 1.0)])
    pen.shape(glass, [(-0.66, 0.62), (0.42, 0.62), (0.22, 0.92), (-0.47, 0.92)])
    pen.shape(colours["upper"], [(-1.25, 0.18), (1.25, 0.18), (1.25, 0.46), (0.9, 0.62), (-1.2, 0.64)])
    _wheels(pen, (-0.78, 0.78), 0.21)


def _van(pen: Pen, colours: dict[str, Colour], swing: float) -> None:
    pen.shape(colours["upper"], [(-1.0, 0.12), (1.0, 0.12), (1.0, 0.5), (0.78, 1.0), (-1.0, 1.0)])
    pen.shape((95, 85, 70), [(0.45, 0.58), (0.92, 0.58), (0.76, 0.90), (0.45, 0.90)])
    _wheels(pen, (-0.62, 0.62), 0.15)


_PAINTERS: dict[Kind, Callable[[Pen, dict[str, Colour], float], None]] = {
    "man": _man,
    "woman": _woman,
    "child": _child,
    "cyclist": _cyclist,
    "dog": _dog,
    "car": _car,
    "van": _van,
}


def _shadow(image: Image, x_px: float, foot_px: float, half_px: float, strength: float) -> None:
    height, width = image.shape[:2]
    top, bottom = max(0, int(foot_px - 0.16 * half_px - 1)), min(height, int(foot_px + 0.3 * half_px + 3))
    left, right = max(0, int(x_px - 1.2 * half_px)), min(width, int(x_px + 1.2 * half_px))
    if top >= bottom or left >= right:
        return
    patch = image[top:bottom, left:right]
    mask = np.zeros(patch.shape[:2], np.uint8)
    centre = (int(x_px - left), int(foot_px - top))
    cv2.ellipse(mask, centre, (max(1, int(half_px * 1.1)), max(1, int(half_px * 0.16 + 1))), 0, 0, 360, 255, -1)
    patch[mask > 0] = (patch[mask > 0] * strength).astype(np.uint8)


def position(actor: Actor, time_s: float) -> Point:
    """Position of an actor's foot: x as a fraction of the width, y of the height."""
    times, xs, feet = actor.path
    return float(np.interp(time_s, times, xs)), float(np.interp(time_s, times, feet))


def is_moving(actor: Actor, time_s: float) -> bool:
    """Whether the actor is moving at this moment, not standing."""
    times = actor.path[0]
    return not times[1] < time_s < times[2]


def paint(image: Image, clip: Clip, actor: Actor, time_s: float, *, shadow: float) -> None:
    """Paint one actor into a frame, in place.

    Args:
        image: (H, W, 3) uint8 BGR.
        clip: holds the camera.
        actor: the actor.
        time_s: the time in the clip.
        shadow: share of the ground's brightness that remains in a shadow, in (0, 1].
    """
    height, width = image.shape[:2]
    x, foot = position(actor, time_s)
    body_px = clip.man_height(foot) * RELATIVE_HEIGHT[actor.kind] * actor.build[0] * height
    turned_back = actor.path[1][0] == actor.path[1][3]
    heads_right = (actor.direction == "right") != (turned_back and time_s < actor.path[0][2])
    pen = Pen(image, x * width, foot * height, body_px, 1 if heads_right else -1, actor.build[1])
    colours = {part: bgr(shade) for part, shade in actor.shades.items()}
    steps_per_s = {"walks": 1.0, "runs": 1.8, "rides": 1.2, "drives": 0.0}[actor.gait]
    amplitude = {"walks": 0.55, "runs": 0.95, "rides": 1.0, "drives": 0.0}[actor.gait]
    swing = amplitude * math.sin(2 * math.pi * steps_per_s * time_s) if is_moving(actor, time_s) else 0.12
    length_px = RELATIVE_LENGTH[actor.kind] * clip.man_height(foot) * height
    _shadow(image, x * width, foot * height, length_px / 2, shadow)
    _PAINTERS[actor.kind](pen, colours, swing)
    if actor.bag:
        pen.box(bgr(actor.shades["bag"]), -0.20, -0.07, 0.36, 0.56)
