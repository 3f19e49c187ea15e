"""Who appears in a clip, in which colours, on which path and when: the plan from which pictures and sentences are made.

Coordinates are fractions: x of the frame's width, y of its height (down), sizes of its height. Times are seconds.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

Kind = Literal["man", "woman", "child", "cyclist", "dog", "car", "van"]
Split = Literal["train", "val", "test"]

PEOPLE: tuple[Kind, ...] = ("man", "woman", "child")
VEHICLES: tuple[Kind, ...] = ("car", "van")
KINDS: tuple[Kind, ...] = (*PEOPLE, "cyclist", "dog", *VEHICLES)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
COAT_COLOURS = ("black", "white", "brown")
LOWER_COLOURS = ("black", "blue", "grey", "white", "brown")

# Height of each kind as a multiple of a man's; a cyclist's and a vehicle's length follows from its drawing.
RELATIVE_HEIGHT: dict[Kind, float] = {
    "man": 1.0,
    "woman": 0.94,
    "child": 0.62,
    "cyclist": 1.0,
    "dog": 0.42,
    "car": 0.82,
    "van": 1.25,
}
RELATIVE_LENGTH: dict[Kind, float] = {
    "man": 0.36,
    "woman": 0.36,
    "child": 0.26,
    "cyclist": 1.0,
    "dog": 0.62,
    "car": 2.1,
    "van": 2.5,
}

# (hue 0-179, saturation, value 0-255) as in OpenCV; test clips wear shades that training never shows.
Shade = tuple[int, int, int]
JITTER = 6  # of saturation and value; hue varies by 1
PALETTE: dict[str, dict[Literal["train", "test"], tuple[Shade, ...]]] = {
    "red": {"train": ((178, 210, 200), (2, 220, 170)), "test": ((175, 190, 180), (4, 205, 210))},
    "orange": {"train": ((12, 220, 230), (15, 210, 210)), "test": ((14, 190, 190), (11, 230, 245))},
    "yellow": {"train": ((27, 210, 230), (30, 190, 210)), "test": ((25, 180, 240), (32, 220, 195))},
    "green": {"train": ((60, 180, 150), (70, 170, 120)), "test": ((50, 170, 140), (78, 160, 160))},
    "blue": {"train": ((112, 200, 190), (108, 190, 150)), "test": ((104, 180, 200), (118, 210, 160))},
    "purple": {"train": ((140, 160, 150), (145, 150, 170)), "test": ((136, 150, 130), (150, 130, 165))},
    "white": {"train": ((20, 10, 230), (100, 8, 216)), "test": ((20, 14, 248), (100, 16, 198))},
    "black": {"train": ((0, 20, 30), (110, 30, 40)), "test": ((0, 10, 15), (20, 30, 54))},
    "grey": {"train": ((0, 8, 130), (100, 12, 110)), "test": ((20, 10, 145), (110, 15, 95))},
    "brown": {"train": ((11, 150, 110), (13, 140, 90)), "test": ((8, 140, 100), (15, 150, 120))},
}

# Pairs that no training or validation clip shows, in a caption or silently.
UNSEEN: frozenset[tuple[Kind, str]] = frozenset(
    {
        ("man", "purple"),
        ("man", "green"),
        ("woman", "orange"),
        ("woman", "blue"),
        ("child", "red"),
        ("cyclist", "yellow"),
        ("cyclist", "black"),
        ("car", "purple"),
        ("car", "white"),
        ("van", "green"),
        ("van", "red"),
        ("dog", "brown"),
    }
)


@dataclass(frozen=True)
class Actor:
    """One appearance of one actor, from entering to leaving.

    Attributes:
        kind: what it is.
        colour: of the upper clothing, the vehicle or the coat.
        lower: of trousers or skirt; "" for dogs and vehicles.
        bag: whether it carries one.
        gait: "walks", "runs", "rides" or "drives".
        stands: whether it stops on the way.
        direction: the side where it leaves, "left" or "right".
        start_s: the time at which it starts to enter.
        end_s: the time at which it has left.
        path: (times_s, x, foot_y): knots of the path, linear between them.
        shades: colour of each part as (hue, saturation, value).
        build: a factor on the height, and one on the width.
    """

    kind: Kind
    colour: str
    lower: str
    bag: bool
    gait: str
    stands: bool
    direction: Literal["left", "right"]
    start_s: float
    end_s: float
    path: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    shades: dict[str, Shade]
    build: tuple[float, float]


@dataclass(frozen=True)
class Clip:
    """One clip: its camera, its length and its actors.

    Attributes:
        name: file name without suffix.
        split: "train", "val" or "test".
        seed: decides background and noise.
        duration_s: length in seconds.
        horizon: y of the horizon.
        reach: a man's height where the foot is at y = 1.
        actors: in order of entering.
    """

    name: str
    split: Split
    seed: int
    duration_s: float
    horizon: float
    reach: float
    actors: tuple[Actor, ...]

    def man_height(self, foot_y: float) -> float:
        """Height of a man whose foot is at `foot_y`, as a fraction of the frame's height (flat ground)."""
        return self.reach * (foot_y - self.horizon) / (1.0 - self.horizon)


def colours_of(kind: Kind) -> tuple[str, ...]:
    """Colours in which a kind may appear."""
    return COAT_COLOURS if kind == "dog" else COLOURS


def _look(rng: Generator, split: Split, kind: Kind) -> tuple[Kind, str]:
    allowed = [c for c in colours_of(kind) if split == "test" or (kind, c) not in UNSEEN]
    return kind, str(rng.choice(allowed))


def _random_looks(rng: Generator, split: Split, count: int) -> list[tuple[Kind, str]]:
    looks: list[tuple[Kind, str]] = []
    while len(looks) < count:
        look = _look(rng, split, KINDS[int(rng.integers(len(KINDS)))])
        if look not in looks:
            looks.append(look)
    return looks


def _crossed_looks(rng: Generator, split: Split) -> list[tuple[Kind, str]]:
    """Two kinds times two colours, so that neither the kind nor the colour alone decides."""
    while True:
        first, second = rng.choice(len(KINDS), 2, replace=False)
        shared = [c for c in colours_of(KINDS[first]) if c in colours_of(KINDS[second])]
        colours = rng.choice(shared, 2, replace=False)
        looks = [(KINDS[k], str(c)) for k, c in itertools.product((first, second), colours)]
        if split == "test" or not UNSEEN.intersection(looks):
            order = rng.permutation(4)
            return [looks[i] for i in order]


def _shade(rng: Generator, split: Split, colour: str) -> Shade:
    shades = PALETTE[colour]["test" if split == "test" else "train"]
    hue, saturation, value = shades[int(rng.integers(len(shades)))]
    jitter = rng.integers(-JITTER, JITTER + 1, 2)
    hue = (hue + int(rng.integers(-1, 2))) % 180
    return (
        hue,
        int(np.clip(saturation + jitter[0] * (saturation > 40), 0, 255)),
        int(np.clip(value + jitter[1], 5, 255)),
    )


def _actor(rng: Generator, clip: Clip, look: tuple[Kind, str], start_s: float) -> Actor:
    kind, colour = look
    split = clip.split
    foot = float(rng.uniform(0.62, 0.95) if split != "test" else rng.uniform(0.66, 0.99))
    drift = float(rng.uniform(-0.03, 0.03) if split != "test" else rng.uniform(-0.10, 0.10))
    feet = (foot, float(np.clip(foot + drift, 0.62, 0.99)))
    runs = kind in (*PEOPLE, "dog") and rng.random() < 0.25
    gait = "drives" if kind in VEHICLES else "rides" if kind == "cyclist" else "runs" if runs else "walks"
    stands = kind in (*PEOPLE, "dog") and not runs and rng.random() < 0.45
    # Half the body's length beyond the frame on either side; metres per second become man heights per second.
    margin = RELATIVE_LENGTH[kind] * clip.man_height(max(feet)) * 0.375 + 0.02
    speed = {"walks": 0.5, "runs": 1.05, "rides": 0.9, "drives": 1.2}[gait] * float(rng.uniform(0.8, 1.25))
    crossing_s = (1.0 + 2 * margin) / (speed * clip.man_height(sum(feet) / 2) * 0.75)
    crossing_s = float(np.clip(crossing_s, 3.0, 12.0))
    direction: Literal["left", "right"] = "right" if rng.random() < 0.5 else "left"
    turns_back = stands and rng.random() < 0.3
    pause_s = float(rng.uniform(3.0, 7.0)) if stands else 0.0
    halfway = float(rng.uniform(0.3, 0.7))
    into_s, out_s = crossing_s * halfway, crossing_s * (halfway if turns_back else 1 - halfway)
    times = (start_s, start_s + into_s, start_s + into_s + pause_s, start_s + into_s + pause_s + out_s)
    left, right = -margin, 1.0 + margin
    leaves_at = right if direction == "right" else left
    enters_at = leaves_at if turns_back else (left if direction == "right" else right)
    middle = enters_at + (right + left - 2 * enters_at) * halfway
    foot_middle = feet[0] + (feet[1] - feet[0]) * halfway
    path = (times, (enters_at, middle, middle, leaves_at), (feet[0], foot_middle, foot_middle, feet[1]))
    lower = str(rng.choice([c for c in LOWER_COLOURS if c != colour])) if kind in (*PEOPLE, "cyclist") else ""
    shades = {"upper": _shade(rng, split, colour)}
    if lower:
        shades["lower"] = _shade(rng, split, lower)
    shades["hair"] = [(12, 150, 50), (10, 160, 85), (22, 130, 190), (0, 10, 25)][int(rng.integers(4))]
    shades["skin"] = [(12, 110, 220), (12, 120, 180), (11, 130, 120)][int(rng.integers(3))]
    shades["bag"] = [(11, 120, 70), (0, 10, 35), (115, 120, 90)][int(rng.integers(3))]
    spread = 0.05 if split != "test" else 0.09
    build = (float(rng.uniform(1 - spread, 1 + spread)), float(rng.uniform(1 - 2 * spread, 1 + 2 * spread)))
    bag = kind in ("man", "woman") and rng.random() < 0.35
    return Actor(kind, colour, lower, bag, gait, stands, direction, start_s, times[3], path, shades, build)


def _timeline(rng: Generator, clip: Clip, looks: list[tuple[Kind, str]]) -> list[Actor]:
    """Actors one after the other; some enter before the previous one has left."""
    actors: list[Actor] = []
    clock_s = float(rng.uniform(0.5, 4.0))
    for look in looks:
        overlaps = bool(actors) and rng.random() < 0.3
        if overlaps:
            before = actors[-1]
            start_s = before.start_s + float(rng.uniform(0.2, 0.8)) * (before.end_s - before.start_s)
        else:
            start_s = clock_s
        actors.append(_actor(rng, clip, look, start_s))
        clock_s = max(actor.end_s for actor in actors) + float(rng.uniform(0.5, 4.0))
    return actors


def sample_clip(name: str, split: Split, seed: int) -> Clip:
    """Draw one clip.

    Args:
        name: file name without suffix.
        split: "test" draws other palettes, sizes, paths and backgrounds, unseen pairs, and mostly crossed looks.
        seed: decides everything.

    Returns:
        A clip of 20 to 60 s with one to four actors; in the test split at least two of them do not overlap in time.
    """
    rng = np.random.default_rng(seed)
    while True:
        crossed = rng.random() < (0.75 if split == "test" else 0.15)
        count = int(rng.integers(2, 5)) if split == "test" else int(rng.integers(1, 5))
        looks = _crossed_looks(rng, split) if crossed else _random_looks(rng, split, count)
        horizon = float(rng.uniform(0.22, 0.36) if split != "test" else rng.uniform(0.18, 0.40))
        reach = float(rng.uniform(0.44, 0.58) if split != "test" else rng.uniform(0.40, 0.62))
        empty = Clip(name, split, seed, 0.0, horizon, reach, ())
        actors = _timeline(rng, empty, looks)
        duration_s = round(max(20.0, max(a.end_s for a in actors) + float(rng.uniform(1.0, 6.0))), 0)
        apart = any(a.end_s < b.start_s or b.end_s < a.start_s for a, b in itertools.combinations(actors, 2))
        if duration_s <= 60.0 and (split != "test" or apart):
            return Clip(name, split, seed, duration_s, horizon, reach, tuple(actors))
