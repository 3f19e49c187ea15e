"""Who appears in a clip, in which clothes, on which way and when: the plan from which pictures and sentences are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.camera import HEIGHT_PX, Camera, draw_camera
from wsra.train.scenes.cameras.look import ANIMALS, KINDS, VEHICLES, Colour, Kind, Traits, draw_colour, dress
from wsra.train.scenes.cameras.paths import Path, draw_path
from wsra.train.scenes.cameras.style import STYLES, Split, Style

LONGEST_S, SHORTEST_S = 75.0, 20.0
_OFTEN: dict[Kind, float] = {
    "man": 2, "woman": 2, "child": 1, "cyclist": 1, "motorcycle": 0.4, "dog": 0.8, "cat": 0.2,
    "car": 0.9, "van": 0.5, "truck": 0.3, "bus": 0.2,
}  # fmt: skip
_ON_ROADS: dict[Kind, float] = {
    "man": 0.4, "woman": 0.4, "child": 0.1, "cyclist": 0.9, "motorcycle": 1.0, "dog": 0.1, "cat": 0.05,
    "car": 3.0, "van": 1.4, "truck": 1.1, "bus": 0.9,
}  # fmt: skip
_FROM_ABOVE_PX = 34.0  # seen from above, garments, hair and bags are as hard to see as on somebody this small
_NEAREST = 0.5  # trucks and buses do not fit into a picture in which a man is taller than this


@dataclass(frozen=True)
class Actor:
    """One appearance, from entering to leaving.

    Attributes:
        traits: what sentences can mention.
        shades: the colour of each part.
        path: where it goes.
        headings_rad: the direction it faces on each stretch of its path: 0 towards the camera, pi/2 to the right.
        build: factors on height and on width.
        seed: decides its cloth and its steps.
    """

    traits: Traits
    shades: dict[str, Colour]
    path: Path
    headings_rad: tuple[float, ...]
    build: tuple[float, float]
    seed: int

    @property
    def start_s(self) -> float:
        """The time at which it starts to enter."""
        return self.path.times_s[0]

    @property
    def end_s(self) -> float:
        """The time at which it has left."""
        return self.path.times_s[-1]


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        name: file name without suffix.
        split: the split it belongs to.
        seed: decides everything that is painted.
        duration_s: length.
        camera: where it hangs.
        night: it is dark, and lamps are on.
        rain: it rains.
        actors: in order of entering.
    """

    name: str
    split: Split
    seed: int
    duration_s: float
    camera: Camera
    night: bool
    rain: bool
    actors: tuple[Actor, ...]

    @property
    def style(self) -> Style:
        """How clips of this split look."""
        return STYLES[self.split]


def sample_clip(name: str, split: Split, seed: int) -> Clip:
    """Draw one clip of 20 to 75 s with one to eight actors; everything follows from the seed."""
    rng, style = np.random.default_rng([seed, 77]), STYLES[split]
    while True:
        camera = draw_camera(rng, style)
        night, rain = bool(rng.random() < style.night), bool(rng.random() < style.rain)
        empty = Clip(name, split, seed, 0.0, camera, night, rain, ())
        count = int(rng.integers(4, 9)) if camera.busy else int(rng.integers(1 if split in ("train", "val") else 2, 5))
        alike = not camera.busy and rng.random() < style.others
        actors: list[Actor] = []
        clock_s = float(rng.uniform(0.5, 4.0))
        for _ in range(count):
            start_s = clock_s
            if actors and rng.random() < (0.8 if camera.busy else 0.3):
                before = actors[-1]
                start_s = before.start_s + float(rng.uniform(0.2, 0.8)) * (before.end_s - before.start_s)
            like = actors[int(rng.integers(len(actors)))].traits if alike and actors and rng.random() < 0.6 else None
            actors.append(_actor(rng, empty, start_s, like))
            clock_s = max(actor.end_s for actor in actors) + float(rng.uniform(0.5, 4.0))
        duration_s = float(round(max(SHORTEST_S, max(actor.end_s for actor in actors) + float(rng.uniform(1, 6)))))
        if duration_s <= LONGEST_S:
            return replace(empty, duration_s=duration_s, actors=tuple(sorted(actors, key=lambda actor: actor.start_s)))


def _kind(rng: Generator, camera: Camera) -> Kind:
    often = dict(_ON_ROADS if camera.road else _OFTEN)
    near = camera.height(1.0) > _NEAREST
    weights = np.array([0.0 if near and kind in ("truck", "bus") else often[kind] for kind in KINDS])
    return KINDS[int(rng.choice(len(KINDS), p=weights / weights.sum()))]


def _looks(rng: Generator, clip: Clip, like: Traits | None) -> tuple[Kind, str]:
    """Draw kind and colour. With `like`, one of the two is copied from another actor, so that neither decides alone."""
    for _ in range(40):
        kind = _kind(rng, clip.camera)
        colour = draw_colour(rng, kind, clip.split)
        if like is None or (kind == like.kind) != (colour == like.colour):
            break
    return kind, colour


def _actor(rng: Generator, clip: Clip, start_s: float, like: Traits | None) -> Actor:
    kind, colour = _looks(rng, clip, like)
    traits, shades = dress(rng, clip.style, kind, colour, rain=clip.rain)
    runs = kind not in (*VEHICLES, "cyclist", "motorcycle") and rng.random() < 0.15
    gait = "drives" if kind in VEHICLES else "rides" if kind in ("cyclist", "motorcycle") else "runs" if runs else "walks"
    path, stands = draw_path(rng, clip.camera, kind, gait, start_s)
    headings = list(path.headings(clip.camera))
    for k in range(len(headings)):
        if path.is_stop(k) and gait == "walks" and kind not in ANIMALS:
            headings[k] = float(rng.choice([math.pi, math.pi, 0.0, math.pi / 2, -math.pi / 2])) + float(rng.uniform(-0.3, 0.3))
    lowest = min(1.0, max(y for _, y in path.places))
    clear_px = (
        clip.camera.height(lowest) * HEIGHT_PX if clip.camera.view != "top" else min(_FROM_ABOVE_PX, clip.camera.size(0.5) * HEIGHT_PX)
    )
    traits = replace(traits, gait=gait, stands=stands, directions=path.directions(clip.camera), clear_px=clear_px)
    spread = clip.style.build * (0.6 if kind in VEHICLES else 1.0)
    build = (float(rng.uniform(1 - spread, 1 + spread)), float(rng.uniform(1 - 1.5 * spread, 1 + 2 * spread)))
    return Actor(traits, shades, path, tuple(headings), build, int(rng.integers(1 << 30)))
