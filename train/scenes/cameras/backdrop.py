"""The empty scene before a camera: its background, the ground with its marks, and the furniture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wsra.train.scenes.cameras.camera import HEIGHT_PX, WIDTH_PX
from wsra.train.scenes.cameras.furniture import INDOORS, Fixture, furnish, paint_fixture
from wsra.train.scenes.cameras.look import VEHICLES, Colour, bgr
from wsra.train.scenes.cameras.pen import Image, tinted
from wsra.train.scenes.cameras.world import Clip


def _muted(rng: Generator, hues: tuple[int, int], saturation: tuple[int, int], value: tuple[int, int]) -> Colour:
    return bgr(int(rng.integers(*hues)), int(rng.integers(*saturation)), int(rng.integers(*value)))


def _houses(rng: Generator, image: Image, base: int) -> None:
    x = 0
    while x < WIDTH_PX:
        wide = int(rng.integers(45, 120))
        cv2.rectangle(image, (x, 0), (x + wide, base), _muted(rng, (0, 180), (5, 70), (90, 200)), -1)
        pane, step = int(rng.integers(7, 14)), int(rng.integers(17, 27))
        glass = _muted(rng, (90, 120), (10, 70), (40, 150))
        for column in range(x + 7, x + wide - pane - 3, step):
            for row in range(5, base - pane - 4, step + 3):
                cv2.rectangle(image, (column, row), (column + pane, row + pane + 3), glass, -1)
        x += wide


def _trees(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (95, 115), (5, 80), (170, 240))
    for _ in range(int(rng.integers(5, 12))):
        x, size = int(rng.integers(0, WIDTH_PX)), int(rng.integers(12, 40))
        cv2.line(image, (x, base), (x, base - size), (40, 55, 75), 3)
        for _ in range(4):
            at = x + int(rng.integers(-size // 2, size // 2 + 1)), base - size + int(rng.integers(-8, 9))
            cv2.circle(image, at, size // 2 + 3, _muted(rng, (35, 65), (60, 140), (50, 130)), -1, cv2.LINE_AA)


def _wall(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (5, 110), (5, 45), (130, 220))
    for _ in range(int(rng.integers(1, 5))):
        x, wide = int(rng.integers(0, WIDTH_PX - 40)), int(rng.integers(18, 44))
        cv2.rectangle(image, (x, base // 4), (x + wide, base), _muted(rng, (0, 180), (20, 120), (60, 190)), -1)


def _rows(rng: Generator, image: Image, base: int) -> None:
    """A car park: a low wall and a row of far cars."""
    image[:base] = _muted(rng, (95, 115), (5, 60), (150, 230))
    cv2.rectangle(image, (0, base // 2), (WIDTH_PX, base), _muted(rng, (0, 180), (4, 40), (80, 170)), -1)
    for x in range(int(rng.integers(0, 20)), WIDTH_PX, int(rng.integers(26, 44))):
        colour = _muted(rng, (0, 180), (5, 180), (40, 220))
        cv2.rectangle(image, (x, base - 11), (x + 22, base - 3), colour, -1)
        cv2.rectangle(image, (x + 4, base - 16), (x + 17, base - 11), tinted(colour, 0.7), -1)


def _bricks(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (4, 14), (50, 110), (90, 165))
    mortar = tinted((150, 155, 160), float(rng.uniform(0.7, 1.1)))
    for number, row in enumerate(range(0, base, 7)):
        cv2.line(image, (0, row), (WIDTH_PX, row), mortar, 1)
        for column in range(number % 2 * 9, WIDTH_PX, 18):
            cv2.line(image, (column, row), (column, row + 7), mortar, 1)


def _columns(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (90, 120), (8, 50), (80, 150))
    colour = _muted(rng, (10, 30), (5, 30), (140, 215))
    for x in range(int(rng.integers(0, 40)), WIDTH_PX, int(rng.integers(50, 90))):
        cv2.rectangle(image, (x, 0), (x + 12, base + 4), colour, -1)
        cv2.line(image, (x + 12, 0), (x + 12, base + 4), tinted(colour, 0.7), 2)


def _shelves(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (10, 110), (5, 30), (120, 190))
    for row in range(4, base - 8, int(rng.integers(15, 24))):
        x = 0
        while x < WIDTH_PX:
            wide = int(rng.integers(4, 16))
            cv2.rectangle(image, (x, row), (x + wide, row + 10), _muted(rng, (0, 180), (30, 170), (70, 220)), -1)
            x += wide + 1
        cv2.line(image, (0, row + 11), (WIDTH_PX, row + 11), (70, 75, 80), 2)


def _arches(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (10, 26), (20, 80), (120, 200))
    dark = _muted(rng, (100, 120), (10, 60), (30, 80))
    half = int(rng.integers(9, 16))
    for x in range(int(rng.integers(10, 40)), WIDTH_PX, int(rng.integers(40, 70))):
        cv2.circle(image, (x, base - 22), half, dark, -1, cv2.LINE_AA)
        cv2.rectangle(image, (x - half, base - 22), (x + half, base), dark, -1)


def _garage(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (0, 180), (0, 25), (60, 130))
    for x in range(int(rng.integers(0, 30)), WIDTH_PX, int(rng.integers(60, 110))):
        cv2.rectangle(image, (x, 0), (x + 16, base + 10), _muted(rng, (0, 180), (0, 30), (110, 170)), -1)
        cv2.rectangle(image, (x, base - 12), (x + 16, base + 2), _muted(rng, (20, 32), (90, 200), (150, 220)), -1)
    for row in (8, 20):
        cv2.line(image, (0, row), (WIDTH_PX, row), (210, 215, 215), 2)


def _doors(rng: Generator, image: Image, base: int) -> None:
    image[:base] = _muted(rng, (15, 110), (3, 30), (150, 230))
    colour = _muted(rng, (0, 180), (20, 110), (70, 170))
    for x in range(int(rng.integers(0, 30)), WIDTH_PX, int(rng.integers(48, 80))):
        cv2.rectangle(image, (x, base // 3), (x + 24, base), colour, -1)
        cv2.rectangle(image, (x, base // 3), (x + 24, base), tinted(colour, 0.6), 1)
    cv2.line(image, (0, base), (WIDTH_PX, base), (60, 60, 60), 2)


_BEHIND: dict[str, Callable[[Generator, Image, int], None]] = {
    "street": _houses, "park": _trees, "hall": _wall, "car park": _rows,
    "courtyard": _bricks, "platform": _columns, "shop": _shelves,
    "square": _arches, "garage": _garage, "corridor": _doors,
}  # fmt: skip


def surroundings(clip: Clip) -> str:
    """Choose the backdrop of a clip; never an indoor one if vehicles pass."""
    rng = np.random.default_rng([clip.seed, 8])
    vehicles = any(actor.traits.kind in (*VEHICLES, "motorcycle") for actor in clip.actors)
    names = [name for name in clip.style.backdrops if not (vehicles and name in INDOORS)]
    return str(rng.choice(names))


def fixtures_of(clip: Clip) -> list[Fixture]:
    """The furniture of a clip."""
    return furnish(clip, surroundings(clip) in INDOORS)


def draw_backdrop(clip: Clip) -> Image:
    """Draw the empty scene of a clip.

    Returns:
        (240, 320, 3) uint8 BGR.
    """
    rng = np.random.default_rng([clip.seed, 1])
    camera = clip.camera
    image = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    from_above = camera.view in ("oblique", "top")
    base = 0 if from_above else int(np.clip(camera.horizon + 0.12, 0.0, 0.6) * HEIGHT_PX)
    base = base if base > 20 else 0
    if base > 0:
        _BEHIND[surroundings(clip)](rng, image, base)
    grounds = clip.style.grounds
    ground = _muted(rng, grounds[int(rng.integers(len(grounds)))], (5, 70), (60, 205))
    image[base:] = ground
    _marks(rng, image, base, ground)
    if camera.road:
        _road(rng, image, base, clip)
    for fixture in fixtures_of(clip):
        paint_fixture(image, clip, fixture)
    lit = image + (_texture(rng, 3) * float(rng.uniform(1, 7)) + _texture(rng, 40) * float(rng.uniform(2, 9)))[..., None]
    down, across = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    corners = ((across - WIDTH_PX / 2) / WIDTH_PX) ** 2 + ((down - HEIGHT_PX / 2) / HEIGHT_PX) ** 2
    lit = lit * (1 - float(rng.uniform(0, 0.7)) * corners)[..., None]
    scene: Image = np.clip(lit, 0, 255).astype(np.uint8)
    return scene


def _texture(rng: Generator, grain: int) -> NDArray[np.float32]:
    coarse = rng.normal(0, 1, (HEIGHT_PX // grain + 2, WIDTH_PX // grain + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC), np.float32)


def _marks(rng: Generator, image: Image, base: int, ground: Colour) -> None:
    """Kerbs, slabs, patches and lines on the ground."""

    def place() -> tuple[int, int]:
        return int(rng.integers(0, WIDTH_PX)), int(rng.integers(base, HEIGHT_PX))

    for _ in range(int(rng.integers(0, 6))):
        colour = tinted(ground, float(rng.uniform(0.6, 1.45)))
        if rng.random() < 0.5:
            cv2.line(image, place(), place(), colour, int(rng.integers(1, 9)), cv2.LINE_AA)
        else:
            corners = cv2.convexHull(np.array([place() for _ in range(4)], np.int32))
            cv2.fillConvexPoly(image, corners, colour, cv2.LINE_AA)
    if rng.random() < 0.35:
        seam = tinted(ground, float(rng.uniform(0.75, 0.92)))
        for x in range(-WIDTH_PX, 2 * WIDTH_PX, int(rng.integers(14, 34))):
            cv2.line(image, (x, base), (int(WIDTH_PX / 2 + (x - WIDTH_PX / 2) * 1.9), HEIGHT_PX), seam, 1, cv2.LINE_AA)
        rows = np.cumsum(np.linspace(4, 26, 14)).astype(int)
        for row in rows[rows < HEIGHT_PX - base]:
            cv2.line(image, (0, base + int(row)), (WIDTH_PX, base + int(row)), seam, 1)


def _road(rng: Generator, image: Image, base: int, clip: Clip) -> None:
    """Asphalt with lane lines, along the direction that most vehicles take."""
    asphalt = _muted(rng, (90, 120), (0, 20), (60, 120))
    along = [abs(actor.path.places[0][0] - actor.path.places[-1][0]) > 0.9 for actor in clip.actors]
    low, high = int(clip.camera.low * HEIGHT_PX), int(min(clip.camera.high, 1.0) * HEIGHT_PX)
    if sum(along) * 2 >= len(along):
        cv2.rectangle(image, (0, max(base, low - 12)), (WIDTH_PX, min(HEIGHT_PX, high + 12)), asphalt, -1)
        middle = (low + high) // 2
        for x in range(int(rng.integers(0, 20)), WIDTH_PX, 36):
            cv2.line(image, (x, middle), (x + 18, middle), (205, 210, 212), 2, cv2.LINE_AA)
    else:
        top, foot = ((40, 280) if clip.camera.view in ("oblique", "top") else (110, 210)), (10, 310)
        corners = [(top[0], base), (top[1], base), (foot[1], HEIGHT_PX), (foot[0], HEIGHT_PX)]
        cv2.fillConvexPoly(image, np.array(corners, np.int32), asphalt, cv2.LINE_AA)
        for y in range(base, HEIGHT_PX, 30):
            cv2.line(image, (WIDTH_PX // 2, y), (WIDTH_PX // 2, y + 14), (205, 210, 212), 2, cv2.LINE_AA)
