"""People on foot: legs that walk, a trunk in a garment, arms, a head with hair, caps, bags, umbrellas."""

from __future__ import annotations

from wsra.train.scenes.cameras.look import SHORT_SLEEVES, Colour, Kind, Traits
from wsra.train.scenes.cameras.pen import Pen, Point, tinted

Shades = dict[str, Colour]

# How far a garment hangs below the hip, in heights of a man.
_HEM = {
    "t-shirt": 0.04, "shirt": 0.05, "top": 0.02, "pullover": 0.05, "hoodie": 0.07, "jacket": 0.08,
    "cardigan": 0.17, "coat": 0.25, "dress": 0.22,
}  # fmt: skip
_FLARE = {"dress": 1.35, "coat": 1.1, "cardigan": 1.1}
_OPEN = ("jacket", "coat", "cardigan")


class _Figure:
    """Measures of a body, in heights of a man."""

    def __init__(self, kind: Kind, garment: str) -> None:
        child = kind == "child"
        self.shoulder, self.hip = (0.46, 0.28) if child else (0.82, 0.50)
        bulky = 1.12 if garment in ("jacket", "coat", "hoodie") else 1.0
        self.width = {"man": 0.135, "woman": 0.112}.get(kind, 0.095) * bulky
        self.head, self.head_up = (0.07, 0.57) if child else (0.066, 0.92)
        self.leg = {"man": 0.085, "woman": 0.068}.get(kind, 0.065)
        self.arm = {"man": 0.055, "woman": 0.045}.get(kind, 0.045)
        self.scale = 0.58 if child else 1.0


def paint_person(pen: Pen, traits: Traits, shades: Shades, swing: float) -> None:
    """Paint a person on foot.

    Args:
        pen: holds place, size and viewing direction.
        traits: kind, garments, hair, and what is carried.
        shades: colours of the parts.
        swing: of the legs, in [-1, 1].
    """
    figure = _Figure(traits.kind, traits.garment)
    _legs(pen, figure, traits, shades, swing)
    far = 1 if pen.right > 0 else -1  # the arm whose side lies away from the camera
    if traits.bag == "backpack" and pen.towards > 0 and pen.steep < 0.8:
        _backpack(pen, figure, shades)
    _arm(pen, figure, traits, shades, far, swing)
    _trunk(pen, figure, traits, shades)
    _arm(pen, figure, traits, shades, -far, swing)
    if traits.bag == "bag":
        _handbag(pen, figure, shades, -far)
    if traits.bag == "backpack" and (pen.towards <= 0 or pen.steep >= 0.8):
        _backpack(pen, figure, shades)
    _head(pen, figure, traits, shades)
    if traits.umbrella:
        _umbrella(pen, figure, shades)


def _legs(pen: Pen, figure: _Figure, traits: Traits, shades: Shades, swing: float) -> None:
    hip, leg, skin = figure.hip, figure.leg, shades["skin"]
    cloth = shades.get("lower", skin)
    shin = skin if traits.lower in ("skirt", "shorts", "") else cloth
    thigh = skin if traits.lower in ("skirt", "") else cloth
    order = (-1, 1) if pen.right < 0 else (1, -1)  # the far one first
    for side in order:
        step = side * swing
        foot: Point = (step * 0.5 * hip, side * 0.055, 0.03 + max(0.0, -step) * 0.04)
        knee: Point = (step * 0.2 * hip + 0.02, side * 0.055, hip * 0.5)
        shaded = 0.9 if side == order[0] else 1.0
        pen.stroke(tinted(shin, shaded), knee, foot, leg * (0.75 if shin is skin else 0.9))
        pen.stroke(tinted(thigh, shaded), (0.0, side * 0.05, hip), knee, leg * 1.1)
        pen.ball(shades["shoe"], (foot[0] + 0.03, foot[1], foot[2]), 0.04, 0.6)
    if traits.lower == "skirt":
        top = hip + 0.04 * figure.scale
        pen.tube(shades["lower"], [(hip * 0.45, 0.14 * figure.scale, 0.11 * figure.scale, 0.0), (top, 0.075, 0.06, 0.0)])


def _trunk(pen: Pen, figure: _Figure, traits: Traits, shades: Shades) -> None:
    width, hip, shoulder = figure.width, figure.hip, figure.shoulder
    deep = width * 0.66
    hem = hip - _HEM[traits.garment] * figure.scale
    flare = _FLARE.get(traits.garment, 0.9 if traits.kind == "woman" else 0.86)
    waist = 0.8 if traits.kind == "woman" else 0.9
    upper = shades["upper"]
    pen.tube(upper, [(hem, width * flare, deep * flare, 0.0), (hip + 0.1 * figure.scale, width * waist, deep * waist, 0.0)])
    pen.tube(
        upper,
        [
            (hip + 0.02, width * waist, deep * waist, 0.0),
            (shoulder - 0.05, width, deep, 0.0),
            (shoulder + 0.02, width * 0.55, deep * 0.6, 0.0),
        ],
    )
    front = deep * 1.02
    if traits.garment in _OPEN and pen.towards > 0.2:
        middle = [(front, a, u) for a, u in ((-0.03, hem + 0.02), (0.03, hem + 0.02), (0.045, shoulder), (-0.045, shoulder))]
        pen.face(shades["inner"], middle)
    elif "print" in shades and abs(pen.towards) > 0.3:
        chest = front if pen.towards > 0 else -front
        half = width * 0.5
        pen.face(
            shades["print"],
            [(chest, a * half, shoulder - u) for a, u in ((-1, 0.23), (1, 0.23), (1, 0.1), (-1, 0.1))],
        )
    if traits.garment == "hoodie" and pen.towards < 0.3:
        pen.ball(tinted(upper, 0.85), (-deep, 0.0, shoulder), width * 0.5, 0.9)


def _arm(pen: Pen, figure: _Figure, traits: Traits, shades: Shades, side: int, swing: float) -> None:
    width, scale = figure.width, figure.scale
    back = -side * swing
    shoulder: Point = (0.0, side * width * 0.9, figure.shoulder - 0.04)
    elbow: Point = (back * 0.12 * scale, side * (width + 0.02), figure.shoulder - 0.19 * scale)
    hand: Point = (back * 0.24 * scale + 0.02, side * (width + 0.01), figure.shoulder - 0.35 * scale)
    if traits.umbrella and side == 1:
        elbow, hand = (0.08, side * width, figure.shoulder - 0.16), (0.14, side * width * 0.5, figure.shoulder - 0.02)
    short = traits.garment in SHORT_SLEEVES
    sleeve = tinted(shades["upper"], 0.92)
    half: Point = ((shoulder[0] + elbow[0]) / 2, (shoulder[1] + elbow[1]) / 2, (shoulder[2] + elbow[2]) / 2)
    pen.stroke(shades["skin"], elbow, hand, figure.arm * 0.8)
    if short:
        pen.stroke(shades["skin"], half, elbow, figure.arm * 0.85)
        pen.stroke(sleeve, shoulder, half, figure.arm * 1.05)
    else:
        cuff: Point = tuple(e * 0.2 + h * 0.8 for e, h in zip(elbow, hand, strict=True))  # type: ignore[assignment]
        pen.stroke(sleeve, elbow, cuff, figure.arm * 0.95)
        pen.stroke(sleeve, shoulder, elbow, figure.arm * 1.05)


def _head(pen: Pen, figure: _Figure, traits: Traits, shades: Shades) -> None:
    head, up = figure.head, figure.head_up
    skin, hair = shades["skin"], shades["hair"]
    pen.stroke(skin, (0.0, 0.0, figure.shoulder), (0.0, 0.0, up - head * 0.6), 0.06 * figure.scale)
    faces = pen.towards > -0.35 and pen.steep < 0.9
    if traits.long_hair and pen.towards > -0.35:  # long hair falls behind the face
        pen.tube(hair, [(up - 2.5 * head, 1.2 * head, 0.5 * head, -0.75 * head), (up + 0.3 * head, 1.1 * head, 0.8 * head, -0.3 * head)])
        if pen.towards > 0.4:
            pen.stroke(skin, (0.02, 0.0, figure.shoulder), (0.02, 0.0, up - head * 0.6), 0.06 * figure.scale)
    pen.ball(hair, (-0.12 * head, 0.0, up + 0.18 * head), head * 1.02, 1.05)
    if faces:
        pen.ball(skin, (0.30 * head, 0.0, up - 0.18 * head), head * 0.82, 1.1)
    if traits.long_hair and pen.towards <= -0.35:
        pen.tube(hair, [(up - 3.2 * head, 1.0 * head, 0.4 * head, -0.8 * head), (up + 0.5 * head, 1.15 * head, 0.9 * head, -0.2 * head)])
    if traits.cap:
        pen.tube(shades["cap"], [(up + 0.3 * head, 1.08 * head, 1.08 * head, 0.0), (up + 1.2 * head, 0.75 * head, 0.75 * head, 0.0)])
        if pen.towards > -0.5:
            brim = [(0.7 * head, -0.7 * head), (1.7 * head, -0.5 * head), (1.7 * head, 0.5 * head), (0.7 * head, 0.7 * head)]
            pen.face(tinted(shades["cap"], 0.85), [(along, across, up + 0.35 * head) for along, across in brim])
            pen.stroke(tinted(shades["cap"], 0.85), (0.8 * head, 0.0, up + 0.35 * head), (1.7 * head, 0.0, up + 0.32 * head), 0.02)


def _handbag(pen: Pen, figure: _Figure, shades: Shades, side: int) -> None:
    hangs = figure.hip - 0.02
    if abs(pen.towards) < 0.4:
        pen.tube(shades["bag"], [(hangs - 0.1, 0.03, 0.08, 0.0), (hangs + 0.06, 0.03, 0.07, 0.0)])
    else:
        outline = ((0.0, -0.1), (0.11, -0.1), (0.10, 0.07), (0.01, 0.07))
        pen.face(shades["bag"], [(0.0, side * (figure.width + across), hangs + up) for across, up in outline])


def _backpack(pen: Pen, figure: _Figure, shades: Shades) -> None:
    width = figure.width
    middle = -width * 0.66 - 0.05
    low, top = figure.hip + 0.05, figure.shoulder - 0.01
    pen.tube(shades["bag"], [(low, width * 0.72, 0.07, middle), (top, width * 0.62, 0.05, middle)])


def _umbrella(pen: Pen, figure: _Figure, shades: Shades) -> None:
    top = figure.head_up + 0.24
    held: Point = (0.14, figure.width * 0.5, figure.shoulder - 0.02)
    pen.stroke((60, 60, 60), held, (0.08, 0.0, top), 0.018)
    canopy = shades["umbrella"]
    pen.tube(canopy, [(top - 0.14, 0.34, 0.34, 0.06), (top - 0.04, 0.24, 0.24, 0.06), (top, 0.02, 0.02, 0.06)])
