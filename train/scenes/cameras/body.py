"""Paints a body: at twice the size, then smoothed down, textured with its cloth, and with the shadow that it casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.train.scenes.cameras.animals import paint_animal
from wsra.train.scenes.cameras.camera import HEIGHT_PX, WIDTH_PX, Camera, Place
from wsra.train.scenes.cameras.look import DRESSED, Colour, Kind, Traits
from wsra.train.scenes.cameras.paths import REACH, TALL
from wsra.train.scenes.cameras.pen import Image, Pen
from wsra.train.scenes.cameras.people import Shades, paint_person
from wsra.train.scenes.cameras.riders import paint_cyclist, paint_motorcycle
from wsra.train.scenes.cameras.vehicles import paint_vehicle
from wsra.train.scenes.cameras.world import Actor

CLOTH_PX = 96
_FINE = 2  # bodies are painted at this many times their size
_PAINTERS: dict[Kind, Callable[[Pen, Traits, Shades, float], None]] = {
    "man": paint_person, "woman": paint_person, "child": paint_person, "cyclist": paint_cyclist, "motorcycle": paint_motorcycle,
    "dog": paint_animal, "cat": paint_animal, "car": paint_vehicle, "van": paint_vehicle, "truck": paint_vehicle, "bus": paint_vehicle,
}  # fmt: skip
_STEPS = {"walks": (1.0, 0.55), "runs": (1.8, 0.95), "rides": (1.2, 1.0), "drives": (0.0, 0.0)}  # per second, and how far

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Pose:
    """The pose of a body at one moment.

    Attributes:
        place: its middle on the ground.
        heading_rad: the direction it faces; 0 is towards the camera.
        swing: of the limbs, in [-1, 1].
    """

    place: Place
    heading_rad: float
    swing: float


def pose_of(actor: Actor, time_s: float) -> Pose:
    """The pose of an actor at a moment of the clip."""
    stretch = actor.path.stretch(time_s)
    steps, far = _STEPS[actor.traits.gait]
    heading = actor.headings_rad[stretch]
    if not actor.path.is_stop(stretch):
        return Pose(actor.path.place(time_s), heading, far * math.sin(2 * math.pi * steps * time_s + actor.seed % 7))
    if actor.traits.gait == "drives":
        return Pose(actor.path.place(time_s), heading, 0.0)
    sway = math.sin(1.9 * time_s + actor.seed % 7) * math.sin(0.7 * time_s)  # nobody stands perfectly still
    return Pose(actor.path.place(time_s), heading + 0.2 * sway, 0.1 + 0.12 * sway)


def extent(camera: Camera, traits: Traits, build: tuple[float, float], pose: Pose) -> tuple[float, float, float, float]:
    """The rectangle that a body may fill: left, top, right, bottom in pixels, which may lie outside the picture."""
    size = camera.size(pose.place[1]) * HEIGHT_PX * build[0]
    sideways = REACH[traits.kind] * max(1.0, build[1]) * size * 1.12 + 0.17 * size * (traits.umbrella + 0.3) + 2
    tall = TALL[traits.kind] + (0.22 if traits.umbrella else 0.06)
    x, y = pose.place[0] * WIDTH_PX, pose.place[1] * HEIGHT_PX
    flat = sideways * math.sin(camera.pitch_rad)
    return x - sideways, y - tall * size * math.cos(camera.pitch_rad) - flat - 2, x + sideways, y + flat + 3


def paint_traits(camera: Camera, traits: Traits, shades: dict[str, Colour], build: tuple[float, float], pose: Pose, box: Box) -> Image:
    """Paint a body within a rectangle.

    Args:
        camera: gives size and pitch.
        traits: what the actor is and wears.
        shades: its colours.
        build: factors on height and on width.
        pose: place and pose.
        box: the rectangle to paint; it may lie outside the picture.

    Returns:
        (height, width, 4) uint8: blue, green, red, each times the cover, and the cover (0 to 255).
    """
    left, top, right, bottom = box
    layer = np.zeros(((bottom - top) * _FINE, (right - left) * _FINE, 4), np.uint8)
    foot = (pose.place[0] * WIDTH_PX - left) * _FINE, (pose.place[1] * HEIGHT_PX - top) * _FINE
    pen = Pen(layer, foot, camera.size(pose.place[1]) * HEIGHT_PX * _FINE, pose.heading_rad, camera.pitch_rad, build)
    _PAINTERS[traits.kind](pen, traits, shades, pose.swing)
    return np.asarray(cv2.resize(layer, (right - left, bottom - top), interpolation=cv2.INTER_AREA))


def clipped(rectangle: tuple[float, float, float, float]) -> Box | None:
    """The part of a rectangle inside the picture; None if there is none."""
    left, top = max(0, math.floor(rectangle[0])), max(0, math.floor(rectangle[1]))
    right, bottom = min(WIDTH_PX, math.ceil(rectangle[2])), min(HEIGHT_PX, math.ceil(rectangle[3]))
    return None if right - left < 1 or bottom - top < 1 else (left, top, right, bottom)


def paint_actor(frame: Image, camera: Camera, actor: Actor, pose: Pose, cloth: NDArray[np.float32], sun: Sun) -> None:
    """Paint an actor into a frame, in place.

    Args:
        frame: (240, 320, 3) uint8 BGR.
        camera: the camera of the clip.
        actor: the actor.
        pose: its pose.
        cloth: from `draw_cloth`.
        sun: decides the shadow.
    """
    whole = extent(camera, actor.traits, actor.build, pose)
    _contact_shadow(frame, camera, actor, pose, sun)
    box = clipped(whole)
    if box is None:
        return
    left, top, right, bottom = box
    body = paint_traits(camera, actor.traits, actor.shades, actor.build, pose, box)
    if sun.length > 0:
        _cast_shadow(frame, body[..., 3], box, pose.place[1] * HEIGHT_PX, sun)
    step_x, step_y = CLOTH_PX / (whole[2] - whole[0]), CLOTH_PX / (whole[3] - whole[1])
    onto = np.array([[step_x, 0, (left - whole[0]) * step_x], [0, step_y, (top - whole[1]) * step_y]])
    size = (right - left, bottom - top)
    light = cv2.warpAffine(cloth, onto, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    part = frame[top:bottom, left:right]
    cover = body[..., 3:].astype(np.float32) / 255
    lit = np.minimum(body[..., :3] * light[..., None], 255.0 * cover)
    part[:] = part * (1 - cover) + lit


@dataclass(frozen=True)
class Sun:
    """How shadows fall.

    Attributes:
        dark: share of the brightness that a shadow removes, in [0, 1].
        length: of a cast shadow, in heights of the body; 0 under a covered sky.
        slant: how far the shadow points to the right, in lengths.
    """

    dark: float
    length: float
    slant: float


def _contact_shadow(frame: Image, camera: Camera, actor: Actor, pose: Pose, sun: Sun) -> None:
    size = camera.size(pose.place[1]) * HEIGHT_PX
    reach, wide = REACH[actor.traits.kind], min(REACH[actor.traits.kind], 0.55)
    right = math.hypot(reach * math.sin(pose.heading_rad), wide * 0.8 * math.cos(pose.heading_rad)) * size
    away = math.hypot(reach * math.cos(pose.heading_rad), wide * 0.8 * math.sin(pose.heading_rad)) * size * math.sin(camera.pitch_rad)
    axes = max(2.0, right), max(2.0, away)
    x, y = pose.place[0] * WIDTH_PX, pose.place[1] * HEIGHT_PX
    darken(frame, (x, y), axes, sun.dark)


def darken(frame: Image, centre_px: tuple[float, float], axes_px: tuple[float, float], dark: float) -> None:
    """Lay a soft elliptic shadow onto the ground; a negative `dark` lights it up."""
    (x, y), (wide, high) = centre_px, axes_px
    box = clipped((x - wide * 1.2, y - high * 1.2, x + wide * 1.2, y + high * 1.2))
    if box is None:
        return
    left, top, right, bottom = box
    down = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - y) / high) ** 2
    across = ((np.arange(left, right, dtype=np.float32) + 0.5 - x) / wide) ** 2
    factor = 1 - dark * np.clip(1.2 - down[:, None] - across[None, :], 0, 1)
    part = frame[top:bottom, left:right]
    part[:] = np.minimum(part * factor[..., None], 255)


def _cast_shadow(frame: Image, cover: Image, box: Box, foot_y: float, sun: Sun) -> None:
    """The body's outline, sheared onto the ground behind or before it."""
    left, top, _, _ = box
    slope = sun.slant * sun.length
    # A pixel `up` above the feet falls onto x + slope * up, foot - 0.35 * length * up.
    flat = 0.35 * sun.length
    matrix = np.array([[1.0, -slope, left + slope * (foot_y - top)], [0.0, flat, foot_y - flat * (foot_y - top)]])
    reach = abs(slope) * (foot_y - top)
    area = clipped((left - reach, min(foot_y, foot_y - flat * (foot_y - top)) - 1, box[2] + reach, max(foot_y, box[3]) + 1))
    if area is None:
        return
    matrix[:, 2] -= (area[0], area[1])
    size = (area[2] - area[0], area[3] - area[1])
    fallen = cv2.warpAffine(np.ascontiguousarray(cover), matrix, size, flags=cv2.INTER_LINEAR)
    part = frame[area[1] : area[3], area[0] : area[2]]
    part[:] = part * (1 - fallen[..., None].astype(np.float32) * (sun.dark / 255))


def draw_cloth(actor: Actor) -> NDArray[np.float32]:
    """Draw the texture over the plain colours of a body: folds, light from one side, stripes, checks, and the grain of cloth.

    Returns:
        (96, 96) float32 factors on brightness, around 1, over the rectangle that the body fills.
    """
    rng = np.random.default_rng([actor.seed, 5])
    n = CLOTH_PX
    dressed = actor.traits.kind in DRESSED
    coarse = _noise(rng, (9, 7)) * float(rng.uniform(0.03, 0.14)) * (1.0 if dressed else 0.3)
    fine = _noise(rng, (30, 24)) * float(rng.uniform(0.0, 0.10)) * (1.0 if dressed else 0.15)
    down, across = np.mgrid[0:n, 0:n] / n
    cloth = coarse + fine
    cloth += float(rng.uniform(-0.42, 0.42)) * (across - 0.5) + float(rng.uniform(-0.1, 0.3)) * (0.5 - down)
    chance = rng.random() if dressed else 1.0
    trunk = (down > 0.35) & (down < 0.62)
    if chance < 0.12:
        cloth += 0.22 * np.sign(np.sin(down * 2 * np.pi * float(rng.uniform(14, 30)))) * trunk
    elif chance < 0.20:
        cloth += 0.18 * np.sign(np.sin(down * 2 * np.pi * 20) * np.sin(across * 2 * np.pi * 30)) * trunk
    elif chance < 0.32:
        cloth += rng.normal(0, 0.14, (n, n))
    return np.clip(1.0 + cloth, 0.3, 1.7).astype(np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    small = rng.normal(0, 1, shape).astype(np.float32)
    return np.asarray(cv2.resize(small, (CLOTH_PX, CLOTH_PX), interpolation=cv2.INTER_CUBIC), np.float64)
