"""How things look: kinds, colours with their shades, garments, hair, and what a sentence can mention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.style import Split, Style

Kind = Literal["man", "woman", "child", "cyclist", "motorcycle", "dog", "cat", "car", "van", "truck", "bus"]
Colour = tuple[int, int, int]  # blue, green, red

ON_FOOT: tuple[Kind, ...] = ("man", "woman", "child")
ANIMALS: tuple[Kind, ...] = ("dog", "cat")
VEHICLES: tuple[Kind, ...] = ("car", "van", "truck", "bus")
KINDS: tuple[Kind, ...] = (*ON_FOOT, "cyclist", "motorcycle", *ANIMALS, *VEHICLES)
DRESSED: tuple[Kind, ...] = (*ON_FOOT, "cyclist")

# As in OpenCV: hue (0-179) and its spread to either side, then the range of saturation, then the range of value.
Band = tuple[int, int, int, int, int, int]
BANDS: dict[str, Band] = {
    "red": (178, 3, 170, 235, 130, 225),
    "orange": (13, 2, 190, 235, 190, 245),
    "yellow": (28, 3, 150, 235, 190, 250),
    "green": (62, 12, 90, 190, 80, 170),
    "blue": (112, 5, 130, 220, 95, 205),
    "purple": (142, 6, 110, 180, 90, 175),
    "white": (40, 40, 0, 16, 205, 250),
    "black": (60, 60, 0, 45, 8, 42),
    "grey": (60, 60, 0, 18, 90, 150),
    "brown": (12, 3, 90, 165, 60, 125),
    "pink": (168, 5, 60, 130, 190, 245),
    "light blue": (104, 6, 45, 105, 170, 235),
    "dark blue": (114, 5, 90, 190, 42, 82),
    "light grey": (60, 60, 0, 16, 158, 198),
    "dark grey": (60, 60, 0, 20, 54, 80),
    "beige": (18, 4, 40, 80, 165, 215),
    "dark red": (178, 3, 150, 220, 70, 118),
    "dark green": (65, 12, 80, 170, 40, 76),
    "silver": (60, 60, 0, 14, 160, 205),
}
CLOTHING_COLOURS = tuple(colour for colour in BANDS if colour != "silver")
VEHICLE_COLOURS = tuple(colour for colour in BANDS if colour not in ("pink", "light grey", "dark grey"))
COAT_COLOURS = ("black", "white", "brown", "grey", "beige")
FREQUENT = ("black", "white", "grey", "red", "blue")  # twice as often as the others

HAIR_BANDS: dict[str, Band] = {
    "black": (4, 4, 0, 60, 8, 38),
    "brown": (11, 3, 90, 150, 45, 95),
    "blond": (20, 3, 80, 150, 140, 215),
    "grey": (20, 20, 0, 25, 120, 190),
    "red": (8, 2, 150, 200, 100, 160),
}
HAIR_SHARES = (0.35, 0.30, 0.22, 0.08, 0.05)
SKIN: tuple[Colour, ...] = ((125, 163, 220), (95, 128, 180), (59, 81, 120), (152, 180, 235), (42, 56, 85))

GARMENTS: dict[Kind, tuple[str, ...]] = {
    "man": ("shirt", "t-shirt", "jacket", "coat", "pullover", "hoodie"),
    "woman": ("shirt", "t-shirt", "jacket", "coat", "pullover", "top", "cardigan", "dress"),
    "child": ("shirt", "t-shirt", "jacket", "pullover", "hoodie"),
    "cyclist": ("shirt", "t-shirt", "jacket"),
}
SHORT_SLEEVES = ("t-shirt", "top", "dress")
LOWERS: dict[str, tuple[str, ...]] = {
    "trousers": ("black", "grey", "brown", "beige", "white", "dark grey", "dark green"),
    "jeans": ("blue", "dark blue", "light blue", "black"),
    "skirt": ("black", "grey", "blue", "red", "white", "brown"),
    "shorts": ("black", "blue", "grey", "beige", "white"),
}
RIDER_COLOURS = ("black", "black", "dark grey", "blue", "red", "white")
SMALL_COLOURS = ("black", "brown", "white", "grey", "red", "blue", "dark blue")  # of shoes, caps, bags

# Kinds in colours that no training or validation clip shows. Those of the demo's kinds are unseen there too, so that clips of both can be
# trained on together; common sights (white cars, women in blue) stay in training.
UNSEEN: frozenset[tuple[Kind, str]] = frozenset(
    {
        ("man", "purple"),
        ("woman", "orange"),
        ("cyclist", "yellow"),
        ("car", "purple"),
        ("van", "green"),
        ("truck", "orange"),
        ("bus", "blue"),
        ("motorcycle", "green"),
    }
)


@dataclass(frozen=True)
class Traits:
    """What sentences can mention about one appearance of an actor.

    Attributes:
        kind: what it is.
        colour: of the upper clothing, the vehicle, the motorcycle or the coat.
        garment: of the upper body; "" where nothing is worn.
        lower: trousers, jeans, skirt or shorts; "" under a dress and where nothing is worn.
        lower_colour: its colour, or "".
        hair: colour of the hair, or "".
        long_hair: whether it falls over the shoulders.
        cap: whether a cap is worn.
        bag: "bag", "backpack" or "".
        umbrella: whether an open umbrella is carried.
        rider: colour of a motorcyclist's clothes, or "".
        gait: "walks", "runs", "rides" or "drives".
        stands: whether it stands for 2.5 s or longer.
        directions: for each stretch of its path, "left", "right", "towards" (the camera) or "away".
        clear_px: how many pixels high a man is where it is nearest to the camera in the frame: sentences omit details of small actors.
    """

    kind: Kind
    colour: str
    garment: str = ""
    lower: str = ""
    lower_colour: str = ""
    hair: str = ""
    long_hair: bool = False
    cap: bool = False
    bag: str = ""
    umbrella: bool = False
    rider: str = ""
    gait: str = "walks"
    stands: bool = False
    directions: tuple[str, ...] = ()
    clear_px: float = 240.0


def family(colour: str) -> str:
    """A colour without "light" and "dark"."""
    return colour.removeprefix("dark ").removeprefix("light ")


def is_unseen(kind: str, colour: str) -> bool:
    """Whether training never shows this kind in this colour, nor in its light or dark shades."""
    return any(kind == k and family(colour) == c for k, c in UNSEEN)


def colours_of(kind: Kind) -> tuple[str, ...]:
    """Colours in which a kind appears."""
    if kind in ANIMALS:
        return COAT_COLOURS
    return VEHICLE_COLOURS if kind in (*VEHICLES, "motorcycle") else CLOTHING_COLOURS


def bgr(hue: int, saturation: int, value: int) -> Colour:
    """Convert OpenCV's HSV to BGR."""
    pixel = cv2.cvtColor(np.array([[(hue % 180, saturation, value)]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def shade(rng: Generator, band: Band, style: Style) -> Colour:
    """One shade of a colour, as a style shows it."""
    hue, spread, least_s, most_s, least_v, most_v = band
    saturation = int(rng.integers(least_s, most_s + 1)) + (style.saturation if least_s > 30 else 0)
    value = int(rng.integers(least_v, most_v + 1)) + round(style.value * (least_v + most_v) / 400)
    turned = hue + int(rng.integers(-spread, spread + 1)) + (style.hue if least_s > 30 else 0)
    return bgr(turned, int(np.clip(saturation, 0, 255)), int(np.clip(value, 4, 255)))


def draw_colour(rng: Generator, kind: Kind, split: Split) -> str:
    """A colour for a kind, excluding those that a training split must not show."""
    allowed = [colour for colour in colours_of(kind) if split in ("dev", "test") or not is_unseen(kind, colour)]
    weights = np.array([2.0 if colour in FREQUENT else 1.0 for colour in allowed])
    return str(rng.choice(allowed, p=weights / weights.sum()))


def dress(rng: Generator, style: Style, kind: Kind, colour: str, *, rain: bool) -> tuple[Traits, dict[str, Colour]]:
    """Draw the look of a person, a vehicle or an animal.

    Args:
        rng: source of randomness.
        style: decides the shades.
        kind: what it is.
        colour: of the upper clothing, the vehicle or the coat.
        rain: in rain more people carry umbrellas.

    Returns:
        What sentences can mention, and the colour of each part.
    """
    shades = {"upper": shade(rng, BANDS[colour], style), "skin": SKIN[int(rng.integers(len(SKIN)))]}
    for part in ("shoe", "cap", "bag", "umbrella", "inner"):
        shades[part] = shade(rng, BANDS[str(rng.choice(SMALL_COLOURS))], style)
    hair = str(rng.choice(list(HAIR_BANDS), p=HAIR_SHARES))
    shades["hair"] = shade(rng, HAIR_BANDS[hair], style)
    if kind == "motorcycle":
        rider = str(rng.choice(RIDER_COLOURS))
        shades["rider"] = shade(rng, BANDS[rider], style)
        return Traits(kind, colour, rider=rider), shades
    if kind not in DRESSED:
        return Traits(kind, colour), shades
    garment = str(rng.choice(GARMENTS[kind]))
    worn = ("trousers", "jeans", "skirt", "skirt") if kind == "woman" else ("trousers", "jeans", "jeans", "shorts")
    lower = "" if garment == "dress" else str(rng.choice(worn))
    lower_colour = str(rng.choice([c for c in LOWERS[lower] if c != colour])) if lower else ""
    if lower:
        shades["lower"] = shade(rng, BANDS[lower_colour], style)
    if kind in ON_FOOT and rng.random() < 0.15:
        shades["print"] = bgr(int(rng.integers(180)), int(rng.integers(60, 220)), int(rng.integers(60, 240)))
    long_hair = bool(rng.random() < {"man": 0.04, "woman": 0.75, "child": 0.3, "cyclist": 0.1}[kind])
    cap = bool(kind != "woman" and rng.random() < 0.18)
    bag = str(rng.choice(["", "", "", "bag", "backpack"])) if kind in ("man", "woman") else ""
    umbrella = bool(kind in ("man", "woman") and rng.random() < (0.5 if rain else 0.04))
    return Traits(kind, colour, garment, lower, lower_colour, hair, long_hair, cap, bag, umbrella), shades
