"""Rendered clips that are hard to track, with true spans: many small people, crossings, posts in front of them, and lights at night.

Actors, backdrops and painting come from the training scenes; paths and times do not. Each of `SORTS` has one clip in six.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wsra.runtime.video.frames import Frame
from wsra.train.scenes.demo.actors import paint, position
from wsra.train.scenes.demo.backdrop import backdrop
from wsra.train.scenes.demo.world import COLOURS, LOWER_COLOURS, PALETTE, PEOPLE, RELATIVE_LENGTH, VEHICLES, Actor, Clip, Kind

Image = NDArray[Any]
Sort = Literal["busy", "small", "crossing", "meeting", "posts", "night"]
SORTS: tuple[Sort, ...] = ("busy", "small", "crossing", "meeting", "posts", "night")
WIDTH_PX, HEIGHT_PX, FRAMES_PER_S, DURATION_S = 320, 240, 4, 60
REACH: dict[Sort, tuple[float, float]] = {  # a man's height at the bottom of the picture, as a share of the picture's height
    "busy": (0.22, 0.34),
    "small": (0.10, 0.16),
    "crossing": (0.30, 0.50),
    "meeting": (0.30, 0.50),
    "posts": (0.30, 0.50),
    "night": (0.30, 0.45),
}
COUNT: dict[Sort, int] = {"busy": 16, "small": 12, "posts": 8, "night": 7}  # actors that pass alone
AT_NIGHT: tuple[Kind, ...] = ("car", "van", "man", "woman", "cyclist")
BY_DAY: tuple[Kind, ...] = ("man", "woman", "child", "cyclist", "cyclist")
SPEED = {"walks": 0.5, "runs": 1.05, "rides": 0.9, "drives": 1.2}  # man heights per second, as in the training scenes
JPEG = 60  # quality: imitates the compression of a camera's stream


def hard_clips(count: int, seed: int = 0) -> list[tuple[Sort, Clip]]:
    """The first clips of a seed, cycling through the sorts."""
    return [(SORTS[number % len(SORTS)], _clip(SORTS[number % len(SORTS)], number, seed)) for number in range(count)]


def _clip(sort: Sort, number: int, seed: int) -> Clip:
    rng = np.random.default_rng([seed, number, 11])
    horizon, reach = float(rng.uniform(0.0, 0.3)), float(rng.uniform(*REACH[sort]))
    empty = Clip(f"{sort}-{number:03d}", "val", int(rng.integers(1 << 30)), float(DURATION_S), horizon, reach, ())
    if sort == "crossing":
        actors = [actor for start_s in (4.0, 20.0, 38.0) for actor in _crossing(rng, empty, start_s)]
    elif sort == "meeting":
        actors = [actor for start_s in (5.0, 34.0) for actor in _meeting(rng, empty, start_s)]
    else:
        kinds = AT_NIGHT if sort == "night" else BY_DAY
        starts = np.sort(rng.uniform(3, DURATION_S - 14, COUNT[sort]))
        actors = [_walker(rng, empty, kinds[int(rng.integers(len(kinds)))], float(start_s)) for start_s in starts]
    return replace(empty, actors=tuple(sorted(actors, key=lambda actor: actor.start_s)))


def _crossing(rng: Generator, clip: Clip, start_s: float) -> list[Actor]:
    """Two people who meet in the middle, one from either side, on the same ground."""
    kinds = VEHICLES if rng.random() < 0.5 else PEOPLE
    foot = float(rng.uniform(0.7, 0.95))
    pair = rng.choice(kinds, 2)
    return [_walker(rng, clip, kind, start_s, foot=foot, right=right, pace=1.0) for kind, right in zip(pair, (True, False), strict=True)]


def _meeting(rng: Generator, clip: Clip, start_s: float) -> list[Actor]:
    """Three people who arrive one by one, stand together for seconds and part."""
    foot, middle, until_s = float(rng.uniform(0.75, 0.95)), float(rng.uniform(0.4, 0.6)), start_s + float(rng.uniform(11, 14))
    actors = []
    for place, kind in enumerate(rng.choice(PEOPLE, 3)):
        actor = _walker(rng, clip, kind, start_s + 2.0 * place, foot=foot, right=bool(rng.integers(2)), pace=1.0)
        times, xs, feet = actor.path
        stop = middle + (place - 1) * 0.3 * clip.man_height(foot) * HEIGHT_PX / WIDTH_PX
        arrives_s = times[0] + (times[3] - times[0]) * abs(stop - xs[0]) / abs(xs[3] - xs[0])
        leaves_s = max(until_s + 1.5 * place, arrives_s + 2.0)
        end_s = leaves_s + times[3] - arrives_s
        path = (times[0], arrives_s, leaves_s, end_s), (xs[0], stop, stop, xs[3]), (feet[0],) * 4
        actors.append(replace(actor, stands=True, end_s=end_s, path=path))
    return actors


def _walker(
    rng: Generator,
    clip: Clip,
    kind: Kind,
    start_s: float,
    *,
    foot: float | None = None,
    right: bool | None = None,
    pace: float | None = None,
) -> Actor:
    """An actor that passes from one side to the other; a third of the people stop on the way."""
    foot = float(rng.uniform(max(0.55, clip.horizon + 0.25), 0.97)) if foot is None else foot
    right = bool(rng.integers(2)) if right is None else right
    gait = "drives" if kind in VEHICLES else "rides" if kind == "cyclist" else "walks"
    margin = RELATIVE_LENGTH[kind] * clip.man_height(foot) * 0.375 + 0.02
    speed = SPEED[gait] * (float(rng.uniform(0.8, 1.25)) if pace is None else pace) * clip.man_height(foot) * 0.75
    crossing_s = float(np.clip((1 + 2 * margin) / speed, 3.0, 22.0))
    stop_s = float(rng.uniform(3, 9)) if gait == "walks" and pace is None and rng.random() < 0.33 else 0.0
    halfway = float(rng.uniform(0.3, 0.7))
    ends = (-margin, 1 + margin) if right else (1 + margin, -margin)
    stop = ends[0] + (ends[1] - ends[0]) * halfway
    into_s = start_s + crossing_s * halfway
    path = (start_s, into_s, into_s + stop_s, start_s + crossing_s + stop_s), (ends[0], stop, stop, ends[1]), (foot,) * 4
    colour, lower = str(rng.choice(COLOURS)), str(rng.choice(LOWER_COLOURS))
    shades = {"upper": PALETTE[colour]["train"][0], "lower": PALETTE[lower]["train"][0]}
    shades |= {"hair": (12, 150, 50), "skin": (12, 110, 220), "bag": (11, 120, 70)}
    direction: Literal["left", "right"] = "right" if right else "left"
    return Actor(kind, colour, lower, False, gait, stop_s > 0, direction, start_s, path[0][3], path, shades, (1.0, 1.0))


def hard_frames(sort: Sort, clip: Clip) -> Iterator[Frame]:
    """Render a clip, (240, 320, 3) uint8 BGR, 4 per second."""
    rng = np.random.default_rng([clip.seed, 5])
    scene = backdrop(clip, WIDTH_PX, HEIGHT_PX)
    posts = [int(x) for x in rng.uniform(0.15, 0.85, 3) * WIDTH_PX] if sort == "posts" else []
    shadow, sigma = float(rng.uniform(0.5, 0.8)), float(rng.uniform(2, 6))
    lamp_s = float(rng.uniform(15, 45))
    for number in range(int(clip.duration_s * FRAMES_PER_S)):
        time_s = number / FRAMES_PER_S
        frame = scene.copy()
        here = sorted((a for a in clip.actors if a.start_s <= time_s <= a.end_s), key=lambda a: position(a, time_s)[1])
        for actor in here:
            paint(frame, clip, actor, time_s, shadow=shadow)
        for x in posts:
            cv2.rectangle(frame, (x - 9, 0), (x + 9, HEIGHT_PX), (70, 80, 90), -1)
        if sort == "night":
            frame = _at_night(frame, clip, here, time_s, lit=time_s > lamp_s)
        noisy = np.clip(frame + rng.normal(0, sigma, frame.shape), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1]
        yield Frame(time_s, np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)))


def _at_night(frame: Image, clip: Clip, here: list[Actor], time_s: float, *, lit: bool) -> Image:
    """Darken a frame, with headlights on the ground before vehicles, and a lamp that is switched on and stays on."""
    light = np.full(frame.shape[:2], 0.35, np.float32)
    if lit:
        cv2.circle(light, (WIDTH_PX // 4, HEIGHT_PX // 2), 70, 0.6, -1)
    for actor in here:
        if actor.kind in VEHICLES:
            x, foot = position(actor, time_s)
            tall = clip.man_height(foot) * HEIGHT_PX
            ahead = (1 if actor.direction == "right" else -1) * 2.2 * tall
            cv2.ellipse(light, (int(x * WIDTH_PX + ahead), int(foot * HEIGHT_PX)), (int(1.6 * tall), int(0.3 * tall)), 0, 0, 360, 0.9, -1)
    soft = cv2.GaussianBlur(light, (0, 0), 6)
    return np.clip(frame * soft[..., None], 0, 255).astype(np.uint8)
