"""Dogs and cats."""

from __future__ import annotations

from wsra.train.scenes.cameras.look import Traits
from wsra.train.scenes.cameras.pen import Pen, Point, tinted
from wsra.train.scenes.cameras.people import Shades


def paint_animal(pen: Pen, traits: Traits, shades: Shades, swing: float) -> None:
    """Paint a dog or a cat; `swing` in [-1, 1] moves its legs."""
    coat = shades["upper"]
    cat = traits.kind == "cat"
    size = 0.55 if cat else 1.0
    length, back, thick = 0.19 * size, 0.26 * size, (0.10 if cat else 0.15) * size
    far = 1 if pen.right > 0 else -1

    def legs(side: int) -> None:
        for along, turn in ((-length, 1), (length, -1)):
            foot: Point = (along + 0.08 * swing * side * turn * size, side * 0.05 * size, 0.015)
            pen.stroke(tinted(coat, 0.8 if side == far else 0.95), (along, side * 0.04 * size, back), foot, 0.05 * size)

    def head() -> None:
        place: Point = (length * 1.5, 0.0, back + 0.1 * size)
        pen.stroke(coat, (length, 0.0, back + 0.03 * size), place, 0.09 * size)
        pen.ball(coat, place, 0.07 * size)
        if pen.towards > -0.3:
            pen.ball(tinted(coat, 0.85), (place[0] + 0.07 * size, 0.0, place[2] - 0.02 * size), 0.04 * size)
        for side in (-1, 1):
            pen.stroke(
                tinted(coat, 0.8),
                (place[0], side * 0.045 * size, place[2] + 0.04 * size),
                (place[0], side * 0.05 * size, place[2] + 0.09 * size),
                0.025 * size,
            )

    def tail() -> None:
        up = 0.22 * size if cat else 0.12 * size
        pen.stroke(coat, (-length, 0.0, back + 0.03 * size), (-length * 1.7, 0.03 * swing, back + up), 0.035 * size)

    legs(far)
    (head if pen.towards < 0 else tail)()
    pen.tube(
        coat,
        [
            (back - thick * 0.5, thick * 0.4, length * 0.95, 0.0),
            (back, thick * 0.5, length * 1.2, 0.0),
            (back + thick * 0.5, thick * 0.35, length, 0.0),
        ],
    )
    legs(-far)
    (tail if pen.towards < 0 else head)()
