"""Detections: the moments of a recording with their video, camera and time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.archive.cameras import Stretch, Stretches
from wsra.runtime.formats.wallclock import later
from wsra.runtime.grounding.answers import Answer
from wsra.runtime.spans.moments import Moment

DRAWN = 1024  # rows of a curve that are kept: far more than a terminal has columns
_EDGE_S = 1e-6


@dataclass(frozen=True)
class Ending:
    """Where a moment ends that began in another file: second `end_s` of `video`."""

    video: str
    end_s: float


@dataclass(frozen=True)
class Excerpt:
    """The part of a moment that lies in one file.

    Attributes:
        video: name of the video.
        feat: its .feat file.
        file: the video itself, where the input was a video; None where it was the .feat file.
        start_s: where the part begins, in seconds of the video.
        end_s: where it ends.
        start: wall clock of its start, or None.
        best_s: when the object is seen best, in seconds of the video, where that is in this part; else None.
    """

    video: str
    feat: Path
    file: Path | None
    start_s: float
    end_s: float
    start: datetime | None
    best_s: float | None


@dataclass(frozen=True)
class Detection:
    """A moment and its place in the world.

    Attributes:
        moment: in seconds of the video in which it starts, also where it ends beyond that.
        camera: name of the camera, or None.
        start: wall clock of its start, or None.
        until: where it ends, or None where that is in the same video.
        excerpts: its parts, one per file, in order of time.
    """

    moment: Moment
    camera: str | None
    start: datetime | None
    until: Ending | None
    excerpts: tuple[Excerpt, ...] = ()


@dataclass(frozen=True)
class Curve:
    """The score curve of one recording, to be drawn.

    Attributes:
        title: its video, or the first and the last of its videos.
        curve: (n,) logit phi - theta of at most `DRAWN` rows, of each stretch of the recording the highest.
        times_s: (n, 2) of these rows, in seconds of the recording.
        duration_s: of the recording.
        marked: start and end of each moment in seconds of the recording, the best first.
    """

    title: str
    curve: NDArray[np.float64]
    times_s: NDArray[np.float64]
    duration_s: float
    marked: tuple[tuple[float, float], ...]


def curve_of(answer: Answer, *, title: str, duration_s: float) -> Curve:
    """The part of an answer that is drawn: of a month, too, it is small enough to be kept for every moment and to be sent."""
    size = max(1, -(-len(answer.logits) // DRAWN))
    padded = np.full(-(-len(answer.logits) // size) * size, -np.inf, np.float32)
    padded[: len(answer.logits)] = answer.logits
    highest = padded.reshape(-1, size).argmax(axis=1) + np.arange(0, len(padded), size)
    marked = tuple((moment.start_s, moment.end_s) for moment in answer.moments)
    return Curve(title, answer.logits[highest].astype(np.float64) - answer.theta, answer.times_s[highest], duration_s, marked)


def located(moment: Moment, recording: Stretches, starts_s: Sequence[float]) -> Detection:
    """A moment in seconds of a recording as one of the video in which it starts.

    Args:
        moment: in seconds of the recording.
        recording: its stretches.
        starts_s: where each of these begins in the recording, in seconds.
    """
    first = int(np.searchsorted(starts_s, moment.start_s + _EDGE_S, "right")) - 1
    last = max(first, int(np.searchsorted(starts_s, moment.end_s - _EDGE_S, "left")) - 1)
    begin, end = recording[first], recording[last]
    shifts = [recording[place].from_s - starts_s[place] for place in (first, last)]
    best_s = None if moment.best_s is None else moment.best_s + shifts[0]
    local = replace(moment, video=begin.footage.video, start_s=moment.start_s + shifts[0], end_s=moment.end_s + shifts[0], best_s=best_s)
    start = None if begin.footage.start is None else later(begin.footage.start, local.start_s)
    until = Ending(end.footage.video, moment.end_s + shifts[1]) if end.footage != begin.footage else None
    excerpts = tuple(_excerpt(moment, recording[place], starts_s[place]) for place in range(first, last + 1))
    return Detection(local, begin.footage.camera, start, until, excerpts)


def _excerpt(moment: Moment, stretch: Stretch, begin_s: float) -> Excerpt:
    """What a stretch that begins at second `begin_s` of its recording holds of a moment."""
    file, shift = stretch.footage, stretch.from_s - begin_s
    start_s, end_s = max(moment.start_s + shift, stretch.from_s), min(moment.end_s + shift, stretch.to_s)
    start = None if file.start is None else later(file.start, start_s)
    best_s = None if moment.best_s is None or not start_s <= moment.best_s + shift <= end_s else moment.best_s + shift
    return Excerpt(file.video, file.feat, file.file, start_s, end_s, start, best_s)
