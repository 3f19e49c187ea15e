"""A pen that paints bodies in three dimensions as a camera far away sees them.

Points are (along, across, up) in heights of a man: along the direction the body faces, across to its left, up from the
ground. Later strokes cover earlier ones, so the nearer parts are painted last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.train.scenes.cameras.look import Colour

Image = NDArray[Any]  # OpenCV's types promise only "an array"
Point = tuple[float, float, float]
Ring = tuple[float, float, float, float]  # up, half of it across, half of it along, its middle along

_SHIFT = 3  # sub-pixel bits of OpenCV's drawing
_ROUND = np.array([(math.cos(a), math.sin(a)) for a in np.arange(12) * math.pi / 6])


class Pen:
    """Paints one body.

    Attributes:
        layer: (height, width, 4) uint8, blue, green, red and cover, painted in place.
        right: how far the direction it faces points to the right in the picture, in [-1, 1].
        towards: how far it points towards the camera.
        steep: sine of the camera's pitch; flat areas are foreshortened by this factor.
    """

    def __init__(
        self, layer: Image, foot_px: tuple[float, float], size_px: float, heading_rad: float, pitch_rad: float, build: tuple[float, float]
    ) -> None:
        """Place the pen.

        Args:
            layer: as in the attributes.
            foot_px: x and y of the body's middle on the ground.
            size_px: length of a man.
            heading_rad: 0 faces the camera, pi/2 faces right.
            pitch_rad: how far the camera looks down.
            build: factors on height and on width.
        """
        self.layer = layer
        self.right, self.towards = math.sin(heading_rad), math.cos(heading_rad)
        self.steep, self._level = math.sin(pitch_rad), math.cos(pitch_rad)
        self._x, self._y = foot_px
        self._tall, self._wide = size_px * build[0], size_px * build[0] * build[1]

    def at(self, point: Point) -> tuple[float, float]:
        """Position of a point in the layer, in pixels."""
        along, across, up = point
        right = along * self.right + across * self.towards
        nearer = along * self.towards - across * self.right
        return self._x + right * self._wide, self._y - up * self._level * self._tall + nearer * self.steep * self._wide

    def face(self, colour: Colour, corners: Sequence[Point]) -> None:
        """Fill a flat convex polygon."""
        self._fill(colour, np.array([self.at(corner) for corner in corners]))

    def tube(self, colour: Colour, rings: Sequence[Ring]) -> None:
        """Fill the hull of ellipses stacked upwards, for trunks, skirts and heads."""
        points = []
        for up, across, along, middle in rings:
            for cosine, sine in _ROUND:
                points.append(self.at((middle + along * cosine, across * sine, up)))
        hull = cv2.convexHull(np.array(points, np.float32))
        self._fill(colour, hull[:, 0])

    def stroke(self, colour: Colour, start: Point, end: Point, width: float) -> None:
        """Draw a limb as thick as `width` heights of a man."""
        thickness = max(1, round(width * self._wide))
        cv2.line(self.layer, self._px(start), self._px(end), (*colour, 255), thickness, cv2.LINE_8, _SHIFT)

    def ball(self, colour: Colour, centre: Point, radius: float, tall: float = 1.0) -> None:
        """Fill a ball, `tall` times as high as it is wide."""
        up = radius * math.hypot(tall * self._level, self.steep)
        axes = (max(4, round(radius * self._wide * (1 << _SHIFT))), max(4, round(up * self._tall * (1 << _SHIFT))))
        cv2.ellipse(self.layer, self._px(centre), axes, 0, 0, 360, (*colour, 255), cv2.FILLED, cv2.LINE_8, _SHIFT)

    def disc(self, colour: Colour, centre: Point, radius: float, thickness: float = 0.0) -> None:
        """Draw a wheel, which stands along the body: filled, or a ring as thick as `thickness`."""
        along, across, up = centre
        points = [self.at((along + radius * c, across, up + radius * s)) for c, s in _ROUND]
        if thickness == 0.0:
            self._fill(colour, np.array(points))
        else:
            width = max(1, round(thickness * self._wide))
            cv2.polylines(self.layer, [self._ints(np.array(points))], True, (*colour, 255), width, cv2.LINE_8, _SHIFT)

    def _fill(self, colour: Colour, points: NDArray[Any]) -> None:
        cv2.fillConvexPoly(self.layer, self._ints(points), (*colour, 255), cv2.LINE_8, _SHIFT)

    def _px(self, point: Point) -> tuple[int, int]:
        x, y = self.at(point)
        return round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT))

    @staticmethod
    def _ints(points: NDArray[Any]) -> NDArray[np.int32]:
        return np.round(points * (1 << _SHIFT)).astype(np.int32)


def tinted(colour: Colour, factor: float) -> Colour:
    """Make a colour lighter or darker."""
    blue, green, red = (min(255, round(channel * factor)) for channel in colour)
    return blue, green, red
