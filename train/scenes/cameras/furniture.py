"""Things that never move: parked vehicles, bins, posts, benches and hedges, often in a colour that a sentence mentions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.body import Pose, clipped, darken, extent, paint_traits
from wsra.train.scenes.cameras.camera import HEIGHT_PX, WIDTH_PX, Place
from wsra.train.scenes.cameras.look import BANDS, VEHICLE_COLOURS, Colour, Kind, Traits, draw_colour, is_unseen, shade
from wsra.train.scenes.cameras.pen import Image, Pen, tinted
from wsra.train.scenes.cameras.world import Clip

Sort = Literal["vehicle", "bin", "post", "bench", "hedge", "sign"]
INDOORS = ("hall", "shop", "corridor")


@dataclass(frozen=True)
class Fixture:
    """A thing that never moves.

    Attributes:
        sort: what it is.
        place: where it stands.
        traits: of a vehicle; None for other things.
        shade: its colour.
        size: a factor on its usual size.
        heading_rad: the direction that a vehicle faces.
    """

    sort: Sort
    place: Place
    traits: Traits | None
    shade: Colour
    size: float
    heading_rad: float


def furnish(clip: Clip, indoors: bool) -> list[Fixture]:
    """Draw the furniture of a clip, sorted from far to near; no vehicles indoors."""
    rng = np.random.default_rng([clip.seed, 6])
    camera = clip.camera
    fixtures = []
    for _ in range(int(rng.choice([0, 1, 2, 3, 4], p=[0.25, 0.25, 0.25, 0.15, 0.1]))):
        place = float(rng.uniform(0.02, 0.98)), float(rng.uniform(max(0.05, camera.low - 0.12), min(1.0, camera.low + 0.35)))
        sort: Sort = ("vehicle", "bin", "post", "bench", "hedge", "sign")[int(rng.choice(6, p=[0.3, 0.22, 0.12, 0.12, 0.12, 0.12]))]
        if sort == "vehicle" and (indoors or camera.height(place[1]) > 0.4):
            sort = "bin"
        colour = _colour(rng, clip)
        kind: Kind = "car" if rng.random() < 0.75 else "van"
        vehicle = sort == "vehicle"
        if vehicle and (colour not in VEHICLE_COLOURS or (is_unseen(kind, colour) and clip.split in ("train", "val"))):
            colour = draw_colour(rng, kind, clip.split)
        traits = Traits(kind, colour) if vehicle else None
        heading = float(rng.choice([-1, 1])) * math.pi / 2 + float(rng.uniform(-0.5, 0.5))
        tone = shade(rng, BANDS[colour], clip.style)
        fixtures.append(Fixture(sort, place, traits, tone, float(rng.uniform(0.8, 1.25)), heading))
    return sorted(fixtures, key=lambda fixture: fixture.place[1])


def _colour(rng: Generator, clip: Clip) -> str:
    """Draw a colour, often that of an actor, so that colour alone does not decide."""
    if rng.random() < 0.5:
        return clip.actors[int(rng.integers(len(clip.actors)))].traits.colour
    return str(rng.choice(list(BANDS)))


def parked(fixtures: list[Fixture]) -> list[Traits]:
    """The traits of parked vehicles: sentences about them are true, although nothing happens to them."""
    return [fixture.traits for fixture in fixtures if fixture.traits is not None]


def paint_fixture(image: Image, clip: Clip, fixture: Fixture) -> None:
    """Paint a thing into the background, in place."""
    camera = clip.camera
    x, y = fixture.place[0] * WIDTH_PX, fixture.place[1] * HEIGHT_PX
    size = camera.size(fixture.place[1]) * HEIGHT_PX * fixture.size
    steep = math.sin(camera.pitch_rad)
    if fixture.traits is not None:
        pose = Pose(fixture.place, fixture.heading_rad, 0.0)
        box = clipped(extent(camera, fixture.traits, (1.0, 1.0), pose))
        darken(image, (x, y), (size * 1.3, size * (0.12 + 0.5 * steep)), 0.4)
        if box is not None:
            body = paint_traits(camera, fixture.traits, {"upper": fixture.shade, "skin": fixture.shade}, (1.0, 1.0), pose, box)
            part = image[box[1] : box[3], box[0] : box[2]]
            part[:] = part * (1 - body[..., 3:].astype(np.float32) / 255) + body[..., :3]
        return
    darken(image, (x, y), (max(2.0, size * 0.25), max(2.0, size * 0.06 + size * 0.2 * steep)), 0.35)
    layer = np.zeros((HEIGHT_PX, WIDTH_PX, 4), np.uint8)
    pen = Pen(layer, (x, y), size, 0.4, camera.pitch_rad, (1.0, 1.0))
    colour = fixture.shade
    if fixture.sort == "bin":
        pen.tube(colour, [(0.0, 0.17, 0.17, 0.0), (0.55, 0.2, 0.2, 0.0)])
        pen.tube(tinted(colour, 0.75), [(0.53, 0.21, 0.21, 0.0), (0.6, 0.2, 0.2, 0.0)])
    elif fixture.sort == "post":
        pen.tube(colour, [(0.0, 0.05, 0.05, 0.0), (2.2, 0.04, 0.04, 0.0)])
    elif fixture.sort == "sign":
        pen.tube((120, 120, 120), [(0.0, 0.02, 0.02, 0.0), (1.2, 0.02, 0.02, 0.0)])
        pen.face(colour, [(0.0, -0.25, 0.75), (0.0, 0.25, 0.75), (0.0, 0.25, 1.3), (0.0, -0.25, 1.3)])
    elif fixture.sort == "bench":
        for up in (0.25, 0.42):
            pen.stroke(tinted(colour, 0.6 + up), (0.1 - up / 2, -0.5, up), (0.1 - up / 2, 0.5, up), 0.09)
        for across in (-0.42, 0.42):
            pen.stroke((50, 50, 50), (0.0, across, 0.0), (0.0, across, 0.25), 0.04)
    else:
        green = tinted((60, 110, 70), 0.6 + 0.4 * fixture.size)
        for k in range(5):
            pen.ball(tinted(green, 0.85 + 0.08 * k), (0.0, -0.6 + 0.3 * k, 0.25 + 0.05 * (k % 2)), 0.28)
    cover = cv2.GaussianBlur(layer, (3, 3), 0.5).astype(np.float32)
    image[:] = np.clip(image * (1 - cover[..., 3:] / 255) + cover[..., :3], 0, 255)
