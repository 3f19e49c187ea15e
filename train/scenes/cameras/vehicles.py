"""Cars, vans, trucks and buses: boxes with windows, wheels and lamps, seen from any side."""

from __future__ import annotations

from dataclasses import dataclass

from wsra.train.scenes.cameras.look import Colour, Traits
from wsra.train.scenes.cameras.pen import Pen, Point, tinted
from wsra.train.scenes.cameras.people import Shades

_RUBBER, _RIM = (30, 30, 30), (140, 140, 140)
_FRONT_LAMP, _REAR_LAMP = (225, 235, 240), (50, 40, 185)
_GLASS: tuple[Colour, ...] = ((95, 85, 70), (60, 55, 50), (120, 110, 100), (40, 36, 34))


@dataclass(frozen=True)
class _Box:
    """A box that may narrow upwards.

    Attributes:
        rear, front: where it starts and ends, along.
        half: its half width.
        low, top: where it starts and ends, up.
        rear_in, front_in: how much its top is shorter at either end.
        side_in: how much narrower its top is on either side.
    """

    rear: float
    front: float
    half: float
    low: float
    top: float
    rear_in: float = 0.0
    front_in: float = 0.0
    side_in: float = 0.0

    def point(self, along: float, across: float, up: float) -> Point:
        """The point at these shares of the box: 0 to 1 along, -1 to 1 across, 0 to 1 up."""
        rear, front = self.rear + self.rear_in * up, self.front - self.front_in * up
        return rear + (front - rear) * along, across * (self.half - self.side_in * up), self.low + (self.top - self.low) * up

    def on_side(self, side: float, u0: float, u1: float, v0: float, v1: float) -> list[Point]:
        """A rectangle on a long side; shares along and up."""
        return [self.point(u, side, v) for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))]

    def on_end(self, end: float, u0: float, u1: float, v0: float, v1: float) -> list[Point]:
        """A rectangle on the front (1) or the rear (0); shares across (-1 to 1) and up."""
        return [self.point(end, u, v) for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))]

    def on_top(self, u0: float, u1: float, half: float) -> list[Point]:
        """A rectangle on the top; shares along, and of the half width."""
        return [self.point(u, w, 1.0) for u, w in ((u0, -half), (u1, -half), (u1, half), (u0, half))]


def paint_vehicle(pen: Pen, traits: Traits, shades: Shades, swing: float) -> None:
    """Paint a vehicle; `swing` is ignored."""
    del swing
    glass = _GLASS[sum(shades["upper"]) % len(_GLASS)]
    {"car": _car, "van": _van, "truck": _truck, "bus": _bus}[traits.kind](pen, shades, glass)


def _near_side(pen: Pen) -> float:
    """The visible long side: -1 or 1, or 0 if neither is visible."""
    return 0.0 if abs(pen.right) < 0.06 else (-1.0 if pen.right > 0 else 1.0)


def _near_end(pen: Pen) -> float | None:
    """The visible end: 1 for the front, 0 for the rear, or None."""
    return None if abs(pen.towards) < 0.06 else (1.0 if pen.towards > 0 else 0.0)


def _paint_box(pen: Pen, box: _Box, colour: Colour) -> None:
    pen.face(colour, [box.point(u, w, v) for u, w, v in ((0, -1, 0), (1, -1, 0), (1, 1, 0), (0, 1, 0))])
    side, end = _near_side(pen), _near_end(pen)
    if end is not None:
        pen.face(tinted(colour, 0.84), box.on_end(end, -1, 1, 0, 1))
    if side:
        pen.face(tinted(colour, 0.94), box.on_side(side, 0, 1, 0, 1))
    pen.face(tinted(colour, 1.08), box.on_top(0, 1, 1.0))


def _wheels(pen: Pen, half: float, hubs: tuple[float, ...], radius: float) -> None:
    side = _near_side(pen)
    for hub in hubs:
        if side and abs(pen.right) > 0.2:
            pen.disc(_RUBBER, (hub, side * half, radius), radius)
            pen.disc(_RIM, (hub, side * half * 1.01, radius), radius * 0.5)


def _lamps(pen: Pen, box: _Box, v0: float, v1: float) -> None:
    end = _near_end(pen)
    if end is None:
        return
    for side in (-1, 1):
        pen.face(_FRONT_LAMP if end else _REAR_LAMP, box.on_end(end, side * 0.62, side * 0.92, v0, v1))


def _windows(pen: Pen, box: _Box, glass: Colour, spans: tuple[tuple[float, float], ...], v0: float, v1: float) -> None:
    side = _near_side(pen)
    for u0, u1 in spans:
        if side:
            pen.face(glass, box.on_side(side, u0, u1, v0, v1))


def _car(pen: Pen, shades: Shades, glass: Colour) -> None:
    colour = shades["upper"]
    body = _Box(-1.22, 1.22, 0.48, 0.14, 0.50, 0.06, 0.1, 0.03)
    cabin = _Box(-1.0, 0.55, 0.43, 0.50, 0.82, 0.28, 0.42, 0.09)
    _paint_box(pen, body, colour)
    _lamps(pen, body, 0.45, 0.8)
    end = _near_end(pen)
    if end is not None:
        pen.face((40, 40, 40), body.on_end(end, -0.5, 0.5, 0.1, 0.35))
    _wheels(pen, 0.48, (-0.76, 0.78), 0.19)
    _paint_box(pen, cabin, colour)
    for pane in (1.0, 0.0):
        if end == pane or pen.steep > 0.35:
            pen.face(glass, cabin.on_end(pane, -0.88, 0.88, 0.08, 0.92))
    _windows(pen, cabin, glass, ((0.06, 0.47), (0.52, 0.94)), 0.1, 0.88)


def _van(pen: Pen, shades: Shades, glass: Colour) -> None:
    colour = shades["upper"]
    nose = _Box(0.9, 1.5, 0.52, 0.14, 0.62, 0.0, 0.15, 0.03)
    body = _Box(-1.5, 1.05, 0.54, 0.14, 1.2, 0.04, 0.35, 0.06)
    parts = (nose, body) if pen.towards < 0 else (body, nose)
    for box in parts:
        _paint_box(pen, box, colour)
    end = _near_end(pen)
    if end == 1.0 or pen.steep > 0.4:
        pen.face(glass, body.on_end(1.0, -0.86, 0.86, 0.48, 0.94))
    if end == 1.0:
        _lamps(pen, nose, 0.45, 0.8)
    else:
        _lamps(pen, body, 0.3, 0.5)
    if end == 0.0:
        pen.face(glass, body.on_end(0.0, -0.8, 0.8, 0.58, 0.88))
    _windows(pen, body, glass, ((0.74, 0.95),), 0.5, 0.9)
    _wheels(pen, 0.54, (-0.95, 0.98), 0.19)


def _truck(pen: Pen, shades: Shades, glass: Colour) -> None:
    colour = shades["upper"]
    cab = _Box(1.2, 2.05, 0.62, 0.2, 1.35, 0.0, 0.1, 0.03)
    cargo = _Box(-2.1, 1.1, 0.68, 0.42, 1.75)
    under = _Box(-2.0, 1.9, 0.5, 0.2, 0.42)
    end = _near_end(pen)
    _paint_box(pen, under, (45, 45, 48))
    for box in (cab, cargo) if pen.towards < 0 else (cargo, cab):
        _paint_box(pen, box, colour if box is cab else tinted(shades["upper"], 0.97))
        if box is cab:
            if end == 1.0 or pen.steep > 0.8:
                pen.face(glass, cab.on_end(1.0, -0.86, 0.86, 0.5, 0.9))
            if end == 1.0:
                pen.face((45, 45, 48), cab.on_end(1.0, -0.6, 0.6, 0.12, 0.36))
                _lamps(pen, cab, 0.1, 0.25)
            _windows(pen, cab, glass, ((0.4, 0.9),), 0.52, 0.88)
        else:
            if end == 0.0:
                pen.stroke((60, 60, 60), cargo.point(0.0, 0.0, 0.02), cargo.point(0.0, 0.0, 0.98), 0.02)
            if "print" in shades:
                _windows(pen, cargo, shades["print"], ((0.25, 0.7),), 0.35, 0.7)
    if end == 0.0:
        _lamps(pen, under, 0.2, 0.9)
    _wheels(pen, 0.62, (-1.6, -1.15, 1.55), 0.24)


def _bus(pen: Pen, shades: Shades, glass: Colour) -> None:
    body = _Box(-2.7, 2.7, 0.7, 0.18, 1.75, 0.03, 0.05, 0.03)
    _paint_box(pen, body, shades["upper"])
    side, end = _near_side(pen), _near_end(pen)
    panes = tuple((0.03 + k * 0.157, 0.17 + k * 0.157) for k in range(6))
    _windows(pen, body, glass, panes, 0.45, 0.82)
    if side == -1.0:  # doors are on the right
        _windows(pen, body, tinted(glass, 0.8), ((0.88, 0.96), (0.5, 0.58)), 0.05, 0.82)
    if end == 1.0:
        pen.face(glass, body.on_end(1.0, -0.9, 0.9, 0.36, 0.84))
        pen.face((60, 190, 220), body.on_end(1.0, -0.5, 0.5, 0.88, 0.96))
    elif end == 0.0:
        pen.face(glass, body.on_end(0.0, -0.8, 0.8, 0.55, 0.82))
    _lamps(pen, body, 0.08, 0.18)
    if pen.steep > 0.3:
        pen.face(tinted(shades["upper"], 0.8), body.on_top(0.25, 0.4, 0.5))
        pen.face(tinted(shades["upper"], 0.8), body.on_top(0.65, 0.78, 0.5))
    _wheels(pen, 0.7, (-1.6, 1.75), 0.25)
