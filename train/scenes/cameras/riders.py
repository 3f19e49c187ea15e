"""Cyclists and motorcyclists."""

from __future__ import annotations

from wsra.train.scenes.cameras.look import SHORT_SLEEVES, Traits
from wsra.train.scenes.cameras.pen import Pen, Point, tinted
from wsra.train.scenes.cameras.people import Shades

_RUBBER = (42, 42, 44)
_METAL = (120, 120, 120)


def paint_cyclist(pen: Pen, traits: Traits, shades: Shades, swing: float) -> None:
    """Paint a cyclist; `swing` in [-1, 1] turns the pedals."""
    wheels = (-0.28, 0.28) if pen.towards >= 0 else (0.28, -0.28)  # the far one first
    frame = shades["bag"]
    for along in wheels:
        pen.disc(_RUBBER, (along, 0.0, 0.19), 0.18, 0.03)
        if abs(pen.right) < 0.5:
            pen.stroke(_RUBBER, (along, 0.0, 0.02), (along, 0.0, 0.37), 0.045)
    saddle: Point = (-0.08, 0.0, 0.47)
    pedal: Point = (0.0, 0.0, 0.2)
    bar: Point = (0.22, 0.0, 0.54)
    for start, end in (
        ((-0.28, 0.0, 0.19), saddle),
        (saddle, (0.2, 0.0, 0.48)),
        ((0.28, 0.0, 0.19), bar),
        (pedal, (0.2, 0.0, 0.48)),
        (pedal, saddle),
    ):
        pen.stroke(frame, start, end, 0.025)
    pen.stroke(_RUBBER, (0.22, -0.15, 0.56), (0.22, 0.15, 0.56), 0.025)
    bare = traits.lower in ("shorts", "skirt")
    far = 1 if pen.right > 0 else -1
    _leg(pen, shades, far, swing, bare)
    _body(pen, traits.garment in SHORT_SLEEVES, shades["upper"], shades, far)
    _leg(pen, shades, -far, swing, bare)
    _rider_head(pen, shades, cap=traits.cap)


def paint_motorcycle(pen: Pen, traits: Traits, shades: Shades, swing: float) -> None:
    """Paint a motorcyclist; `traits` and `swing` are ignored."""
    del traits, swing
    paint, clothes = shades["upper"], shades["rider"]
    wheels = (-0.4, 0.4) if pen.towards >= 0 else (0.4, -0.4)
    for along in wheels:
        pen.disc(_RUBBER, (along, 0.0, 0.19), 0.19)
        if abs(pen.right) < 0.6:
            pen.stroke(_RUBBER, (along, 0.0, 0.05), (along, 0.0, 0.34), 0.1)
        pen.disc(_METAL, (along, -0.05 if pen.right > 0 else 0.05, 0.18), 0.08)
    pen.tube(tinted(paint, 0.7), [(0.16, 0.07, 0.22, 0.0), (0.34, 0.08, 0.26, 0.0)])
    pen.tube(paint, [(0.3, 0.08, 0.42, -0.05), (0.44, 0.1, 0.36, -0.08), (0.48, 0.06, 0.3, -0.1)])  # tank and tail
    pen.stroke(_METAL, (0.4, 0.0, 0.2), (0.27, 0.0, 0.56), 0.04)
    pen.tube(paint, [(0.34, 0.1, 0.1, 0.3), (0.6, 0.12, 0.08, 0.28)])  # fairing
    pen.stroke(_RUBBER, (0.24, -0.2, 0.6), (0.24, 0.2, 0.6), 0.03)
    far = 1 if pen.right > 0 else -1
    worn = {**shades, "upper": clothes, "lower": tinted(clothes, 0.8)}
    for side in (far, -far):
        if side == -far:
            _body(pen, False, clothes, worn, far)
        pen.stroke(worn["lower"], (-0.14, side * 0.08, 0.5), (0.1, side * 0.13, 0.4), 0.09)
        pen.stroke(worn["lower"], (0.1, side * 0.13, 0.4), (-0.02, side * 0.12, 0.18), 0.075)
    helmet = shades["cap"]
    pen.ball(helmet, (0.12, 0.0, 0.9), 0.085, 1.05)
    if pen.towards > -0.3:
        pen.ball((40, 36, 34), (0.165, 0.0, 0.89), 0.05, 0.7)
    if pen.towards > 0.4:
        pen.ball((215, 230, 235), (0.4, 0.0, 0.47), 0.05)
    elif pen.towards < -0.4:
        pen.ball((50, 40, 190), (-0.44, 0.0, 0.42), 0.03)


def _leg(pen: Pen, shades: Shades, side: int, swing: float, bare: bool) -> None:
    cloth = shades.get("lower", shades["skin"])
    knee: Point = (0.12, side * 0.08, 0.38 + 0.06 * side * swing)
    foot: Point = (0.02 - 0.06 * swing * side, side * 0.07, 0.16 + 0.07 * side * swing)
    pen.stroke(shades["skin"] if bare else cloth, knee, foot, 0.065)
    pen.stroke(cloth, (-0.07, side * 0.06, 0.53), knee, 0.085)
    pen.ball(shades["shoe"], foot, 0.035, 0.6)


def _body(pen: Pen, short: bool, colour: tuple[int, int, int], shades: Shades, far: int) -> None:
    """Paint the trunk, which leans forward from the saddle to the bar."""
    for side in (far, -far):
        if side == -far:
            pen.tube(
                colour,
                [(0.48, 0.09, 0.08, -0.1), (0.66, 0.12, 0.09, 0.0), (0.8, 0.125, 0.07, 0.07), (0.84, 0.06, 0.05, 0.09)],
            )
        shoulder: Point = (0.09, side * 0.12, 0.79)
        elbow: Point = (0.17, side * 0.17, 0.66)
        pen.stroke(shades["skin"] if short else colour, elbow, (0.23, side * 0.14, 0.57), 0.045)
        pen.stroke(tinted(colour, 0.92), shoulder, elbow, 0.055)


def _rider_head(pen: Pen, shades: Shades, *, cap: bool) -> None:
    pen.stroke(shades["skin"], (0.09, 0.0, 0.82), (0.11, 0.0, 0.9), 0.06)
    pen.ball(shades["hair"], (0.1, 0.0, 0.93), 0.066, 1.05)
    if pen.towards > -0.35 and pen.steep < 0.9:
        pen.ball(shades["skin"], (0.125, 0.0, 0.905), 0.054, 1.1)
    if cap:
        pen.tube(shades["cap"], [(0.94, 0.072, 0.085, 0.1), (1.0, 0.045, 0.06, 0.1)])
