"""Single pictures of a video at given times, without decoding what lies between them where the container has an index."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path

from wsra.runtime.errors import VideoError
from wsra.runtime.video.frames import Frame, Video

_APART_S = 4.0  # times that are further apart are sought one by one
_AROUND_S = 0.5  # the nearest frame is looked for this long before a time
_LATE_S = 30.0  # a frame is looked for this long before a time after the end
_EACH_PER_S = 25.0


def stills(path: Path, times_s: Sequence[float], *, height_px: int) -> list[Frame]:
    """The frames nearest to given times.

    Args:
        path: the video.
        times_s: in seconds of the video, in any order; at least one.
        height_px: higher frames are scaled down to this height.

    Returns:
        One frame per time, in the order of the times; of a time up to 30 s after the end the last frame.

    Raises:
        VideoError: the video cannot be opened or decoded there.
        MissingExtraError: PyAV is not installed.
    """
    found: dict[float, Frame] = {}
    with Video(path, height_px=height_px, frames_per_s=_EACH_PER_S) as video:
        for run in _runs(sorted(set(times_s)), apart_s=_APART_S if video.indexed else inf):
            found |= _nearest(video, run, max(0.0, run[0] - _AROUND_S))
    if late := sorted(set(times_s) - found.keys()):  # nothing is shown so late: the last frame
        with Video(path, height_px=height_px, frames_per_s=_EACH_PER_S) as video:
            found |= _nearest(video, late, max(0.0, late[0] - _LATE_S))
    if missing := [time_s for time_s in times_s if time_s not in found]:
        raise VideoError(f"{path}: no frame can be decoded near second {missing[0]:.1f}; is the file damaged or cut off?")
    return [found[time_s] for time_s in times_s]


def _runs(times_s: Sequence[float], *, apart_s: float) -> list[list[float]]:
    runs: list[list[float]] = []
    for time_s in times_s:
        if runs and time_s - runs[-1][-1] <= apart_s:
            runs[-1].append(time_s)
        else:
            runs.append([time_s])
    return runs


def _nearest(video: Video, times_s: Sequence[float], from_s: float) -> dict[float, Frame]:
    found: dict[float, Frame] = {}
    for frame in video.frames(from_s=from_s):
        for time_s in times_s:
            if time_s not in found or abs(frame.time_s - time_s) < abs(found[time_s].time_s - time_s):
                found[time_s] = frame
        if frame.time_s > times_s[-1]:
            break
    return found
