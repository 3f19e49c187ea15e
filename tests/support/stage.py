"""Scripted scenes before a fixed camera, painted with known boxes: what a tracker must make of them is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.video.frames import Frame

ROWS, COLUMNS, FPS = 240, 320, 4
START_S = 22.0  # when actors may come: the background stands
RED, BLUE, YELLOW, GREEN, BLACK = (30, 30, 200), (200, 60, 20), (20, 200, 230), (40, 160, 40), (20, 20, 20)
Colour = tuple[int, int, int]
Place = Callable[[float], "tuple[float, float] | None"]  # seconds -> left and foot in pixels; None while away


@dataclass(frozen=True)
class Actor:
    """A coloured box that moves.

    Attributes:
        place: where it is at a time.
        width, height: in pixels.
        upper, lower: colours of its halves.
        waist: rows between the halves that look like the ground.
    """

    place: Place
    width: int = 18
    height: int = 60
    upper: Colour = RED
    lower: Colour = BLACK
    waist: int = 0

    def paint(self, image: np.ndarray, time_s: float) -> None:
        place = self.place(time_s)
        if place is None:
            return
        left, bottom = round(place[0]), round(place[1])
        middle = bottom - self.height // 2
        for top, foot, colour in ((bottom - self.height, middle - self.waist, self.upper), (middle, bottom, self.lower)):
            image[max(top, 0) : max(foot, 0), max(left, 0) : max(left + self.width, 0)] = colour

    def box(self, time_s: float) -> tuple[float, float, float, float] | None:
        """Shares of the picture, as far as it is in it."""
        place = self.place(time_s)
        if place is None or place[0] >= COLUMNS or place[0] + self.width <= 0:
            return None
        left, right = max(0.0, place[0]) / COLUMNS, min(COLUMNS, place[0] + self.width) / COLUMNS
        return left, (place[1] - self.height) / ROWS, right, place[1] / ROWS


def walk(start_s: float, speed: float, *, left: float = -20.0, foot: float = 200.0, stop: tuple[float, float] | None = None) -> Place:
    """Along a line, in pixels a second, from a time on; standing between the two times of `stop`."""

    def place(time_s: float) -> tuple[float, float] | None:
        if time_s < start_s:
            return None
        moving_s = time_s - start_s
        if stop is not None and time_s > stop[0]:
            moving_s -= min(time_s, stop[1]) - stop[0]
        x = left + speed * moving_s
        return (x, foot) if -60 < x < COLUMNS + 20 else None

    return place


def film(
    actors: Sequence[Actor],
    seconds: float,
    *,
    pillars: Sequence[tuple[int, int]] = (),
    fps: float = FPS,
    start_s: float = 0.0,
    over: Callable[[np.ndarray, float], None] | None = None,
) -> Iterator[Frame]:
    """Frames of a scene; pillars hide what is behind them, from a column to another."""
    for number in range(round(start_s * fps), round((start_s + seconds) * fps)):
        time_s = number / fps
        image = ground(number)
        for actor in actors:
            actor.paint(image, time_s)
        for first, last in pillars:
            image[:, first:last] = ground(number)[:, first:last]
        if over is not None:
            over(image, time_s)
        yield Frame(time_s - start_s, image)


@cache
def _grounds() -> list[np.ndarray]:
    image = np.full((ROWS, COLUMNS, 3), 120.0)
    image[:, ::16] += 15
    return [np.clip(image + np.random.default_rng(seed).normal(0, 2, image.shape), 0, 255).astype(np.uint8) for seed in range(16)]


def ground(number: int) -> np.ndarray:
    """The empty scene with the noise of a frame."""
    return _grounds()[number % 16].copy()


def whose(tracks: Tracks, times_s: np.ndarray, actors: Sequence[Actor]) -> list[dict[int, int]]:
    """For each track, of which actors its rows are: actor -> rows whose middle lies nearest to its middle."""
    found: list[dict[int, int]] = [{} for _ in range(len(tracks))]
    for row, track in enumerate(tracks.of_row):
        time_s = times_s[row].mean() - 1 / FPS / 2
        middles = {index: (box[0] + box[2]) / 2 for index, actor in enumerate(actors) if (box := actor.box(time_s)) is not None}
        left, _, right, _ = tracks.boxes[row]
        nearest = min(middles, key=lambda index: abs(middles[index] - (left + right) / 2))
        found[track][nearest] = found[track].get(nearest, 0) + 1
    return found
