"""The ground truth of rendered clips: when each actor is in view, and where; and clips with their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from hard import hard_clips, hard_frames
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.motion import FRAMES_PER_S, HEIGHT_PX
from wsra.runtime.formats.annotations import read_annotations
from wsra.runtime.video.frames import Frame, Video
from wsra.train.scenes.demo.actors import position
from wsra.train.scenes.demo.render import SPLITS, Sizes, plan, visible_span
from wsra.train.scenes.demo.world import RELATIVE_HEIGHT, RELATIVE_LENGTH, Actor, Clip, Split

Array = NDArray[np.float64]
ASPECT = 240 / 320  # height / width of rendered frames


@dataclass(frozen=True)
class Event:
    """One object that enters and leaves.

    Attributes:
        span_s: from when to when at least a third of its length is in view.
        times_s: (K,) times at which its place is known; empty for footage.
        boxes: (K, 4) left, top, right and bottom at these times, as shares of the picture.
    """

    span_s: tuple[float, float]
    times_s: Array = field(default_factory=lambda: np.zeros(0))
    boxes: Array = field(default_factory=lambda: np.zeros((0, 4)))


@dataclass(frozen=True)
class Film:
    """A clip: its name, a reader of its frames, its length and its events."""

    name: str
    read: Callable[[], Iterable[Frame]]
    duration_s: float
    events: list[Event]
    sort: str = ""


def _events(clip: Clip) -> list[Event]:
    return [_event(clip, actor) for actor in clip.actors]


def _event(clip: Clip, actor: Actor) -> Event:
    start_s, end_s = visible_span(clip, actor)
    times_s = np.arange(start_s, end_s, 0.25)
    return Event((start_s, end_s), times_s, np.array([_box(clip, actor, float(time_s)) for time_s in times_s]))


def _box(clip: Clip, actor: Actor, time_s: float) -> tuple[float, float, float, float]:
    x, foot = position(actor, time_s)
    man = clip.man_height(foot)
    half = RELATIVE_LENGTH[actor.kind] * man * actor.build[1] * ASPECT / 2
    top = foot - RELATIVE_HEIGHT[actor.kind] * actor.build[0] * man
    return max(0.0, x - half), max(0.0, top), min(1.0, x + half), min(1.0, foot)


def _read(path: Path) -> Iterable[Frame]:
    with Video(path, height_px=HEIGHT_PX, frames_per_s=FRAMES_PER_S) as video:
        yield from video.frames()


def demo_films(folder: Path, split: Split, most: int | None = None) -> list[Film]:
    """Clips of `wsra demo` (seed 0) in `folder`."""
    count = len(list((folder / "videos").glob(f"{split}-*.mp4")))
    clips = plan(Sizes(**{name: count if name == split else 0 for name in SPLITS}), seed=0)[:most]
    return [Film(clip.name, partial(_read, folder / "videos" / f"{clip.name}.mp4"), clip.duration_s, _events(clip)) for clip in clips]


def hard_films(count: int, seed: int = 0) -> list[Film]:
    """Clips of hard.py."""
    clips = hard_clips(count, seed)
    return [Film(clip.name, partial(hard_frames, sort, clip), clip.duration_s, _events(clip), sort) for sort, clip in clips]


def footage_films(folder: Path) -> list[Film]:
    """Labelled footage; only the times of labelled events are known, not their places."""
    rows = read_annotations(folder / "annotations.jsonl")
    films = []
    for vid in sorted({row.vid for row in rows}):
        own = [row for row in rows if row.vid == vid]
        spans = sorted({window for row in own for window in row.windows_s})
        films.append(Film(vid, partial(_read, folder / f"{vid}.mp4"), own[0].duration_s, [Event(span) for span in spans]))
    return films
