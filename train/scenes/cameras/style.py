"""How the splits differ: development and test clips are each shifted away from the training clips in their own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "dev", "test")


@dataclass(frozen=True)
class Style:
    """How the clips of a split look.

    Attributes:
        hue: added to the hue of every colour that has one (OpenCV's 0-179).
        saturation: added to its saturation (0-255).
        value: added to the value of a colour in the middle of the scale (0-255), more to lighter ones.
        size: a factor on the size of everybody.
        build: how far factors on height and width of a body deviate from 1.
        backdrops: names of backdrops, see `backdrop`.
        grounds: hues of the ground.
        gamma: lowest and highest exponent of the camera's curve.
        gain: lowest and highest brightness.
        colourful: lowest and highest factor on saturation.
        cast: standard deviation of the logarithm of the gains of the three channels.
        grain: lowest and highest standard deviation of the noise, in grey levels.
        blur: largest blur of the lens, standard deviation in pixels.
        quality: lowest and highest constant rate factor of H.264; higher is worse.
        night: share of clips at night.
        rain: share of clips in the rain.
        others: share of actors drawn so that neither kind nor colour alone decides.
    """

    hue: int
    saturation: int
    value: int
    size: float
    build: float
    backdrops: tuple[str, ...]
    grounds: tuple[tuple[int, int], ...]
    gamma: tuple[float, float]
    gain: tuple[float, float]
    colourful: tuple[float, float]
    cast: float
    grain: tuple[float, float]
    blur: float
    quality: tuple[int, int]
    night: float
    rain: float
    others: float


_TRAIN = Style(
    hue=0,
    saturation=0,
    value=0,
    size=1.0,
    build=0.07,
    backdrops=("street", "park", "hall", "car park"),
    grounds=((8, 30), (36, 58), (90, 120), (0, 180)),
    gamma=(0.75, 1.3),
    gain=(0.78, 1.2),
    colourful=(0.65, 1.25),
    cast=0.05,
    grain=(1.0, 8.0),
    blur=1.3,
    quality=(22, 34),
    night=0.12,
    rain=0.10,
    others=0.15,
)
_DEV = Style(
    hue=3,
    saturation=-16,
    value=10,
    size=0.88,
    build=0.10,
    backdrops=("courtyard", "platform", "shop"),
    grounds=((10, 26), (95, 115)),
    gamma=(0.85, 1.35),
    gain=(0.78, 1.1),
    colourful=(0.55, 1.0),
    cast=0.07,
    grain=(3.0, 9.0),
    blur=1.1,
    quality=(26, 34),
    night=0.15,
    rain=0.08,
    others=0.6,
)
_TEST = Style(
    hue=-3,
    saturation=12,
    value=-12,
    size=1.1,
    build=0.10,
    backdrops=("square", "garage", "corridor"),
    grounds=((14, 26), (0, 180)),
    gamma=(0.7, 1.15),
    gain=(0.9, 1.3),
    colourful=(0.8, 1.35),
    cast=0.07,
    grain=(2.0, 10.0),
    blur=1.5,
    quality=(24, 33),
    night=0.15,
    rain=0.12,
    others=0.6,
)
STYLES: dict[Split, Style] = {"train": _TRAIN, "val": _TRAIN, "dev": _DEV, "test": _TEST}
