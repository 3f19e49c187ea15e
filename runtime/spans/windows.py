"""Candidate windows, and the conversion between seconds and positions.

A position is a point on the snippet axis: k + f is the fraction f of the way through snippet k. Gaps between snippets have no extent on
this axis, so they count as not covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PlanName = Literal["relative", "segments", "seconds"]

RELATIVE_LENGTHS = (Fraction(1, 5), Fraction(3, 10), Fraction(2, 5), Fraction(1, 2))
LENGTHS_S = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
SEGMENTS, SEGMENT_S = 6, 5.0


class Rung(NamedTuple):
    """Windows of one length: `windows` windows of `length` snippets, one every `stride` snippets from the first."""

    length: int
    stride: int
    windows: int


class Timeline:
    """Conversion from seconds to positions and back, for the snippets of one video.

    Args (constructor):
        times_s: (T, 2) start and end of each snippet in seconds, as in a .feat file.
    """

    def __init__(self, times_s: Array) -> None:
        self._times_s = times_s

    def positions(self, seconds: Array) -> Array:
        """Positions of times; times in a gap map to the boundary between the neighbouring snippets."""
        count = len(self._times_s)
        places = np.stack([np.arange(count), np.arange(1, count + 1)], axis=1).reshape(-1)
        return np.interp(seconds, self._times_s.reshape(-1), places)

    def seconds(self, starts: Array, ends: Array) -> tuple[Array, Array]:
        """Start and end times of spans of positions; a start on a boundary belongs to the later snippet, an end to the earlier one."""
        count = len(self._times_s)
        first = np.clip(np.floor(starts), 0, count - 1).astype(int)
        last = np.clip(np.ceil(ends) - 1, 0, count - 1).astype(int)
        start_length = self._times_s[first, 1] - self._times_s[first, 0]
        end_length = self._times_s[last, 1] - self._times_s[last, 0]
        start_s = self._times_s[first, 0] + (starts - first) * start_length
        end_s = self._times_s[last, 0] + (ends - last) * end_length
        return start_s, end_s


def relative_windows(duration_s: float) -> Array:
    """The paper's proposals: 20, 30, 40 and 50 % of the video with 80 % overlap.

    Returns:
        (47, 2) start and end in seconds.
    """
    windows = []
    for length in RELATIVE_LENGTHS:
        stride = length / 5
        windows += [(k * stride, k * stride + length) for k in range((1 - length) // stride + 1)]
    return np.array([[float(start), float(end)] for start, end in windows]) * duration_s


def segment_windows() -> Array:
    """DiDeMo's moments over six segments of 5 s, in the official order.

    Returns:
        (21, 2) start and end in seconds.
    """
    pairs = [(i, i) for i in range(SEGMENTS)] + [(i, j) for i in range(SEGMENTS) for j in range(i + 1, SEGMENTS)]
    return np.array([[first * SEGMENT_S, (last + 1) * SEGMENT_S] for first, last in pairs])


def segments_within(duration_s: float) -> Array:
    """The `segment_windows` whose last segment starts before the video ends: 21 for 30 s, 15 for 25 s."""
    windows_s = segment_windows()
    return windows_s[windows_s[:, 1] - SEGMENT_S < duration_s - 1e-6]


def seconds_ladder(times_s: Array) -> list[Rung]:
    """Windows of 2, 4, ..., 128 s in whole snippets, overlapping by 80 %; the whole video if it is shorter than all of them.

    Args:
        times_s: (T, 2) start and end of the snippets in seconds.
    """
    count, snippet_s = len(times_s), float(np.median(times_s[:, 1] - times_s[:, 0]))
    lengths = sorted({max(1, round(length_s / snippet_s)) for length_s in LENGTHS_S})
    lengths = [length for length in lengths if length <= count] or [count]
    strides = [max(1, round(length / 5)) for length in lengths]
    return [Rung(length, stride, (count - length) // stride + 1) for length, stride in zip(lengths, strides, strict=True)]


def ladder_positions(ladder: Sequence[Rung]) -> Array:
    """All windows of a ladder as (N, 2) positions, rung by rung."""
    starts = [np.arange(rung.windows, dtype=np.float64) * rung.stride for rung in ladder]
    return np.concatenate([np.stack([start, start + rung.length], axis=1) for start, rung in zip(starts, ladder, strict=True)])


def planned_positions(plan: PlanName, timeline: Timeline, times_s: Array, duration_s: float) -> Array:
    """The windows of a plan as positions.

    Args:
        plan: name of the plan.
        timeline: timeline of the video.
        times_s: (T, 2) start and end of its snippets in seconds.
        duration_s: length of the video in seconds.

    Returns:
        (N, 2) positions, without windows that cover no snippet, and for `segments` without those beyond the last segment of the video.
    """
    if plan == "seconds":
        return ladder_positions(seconds_ladder(times_s))
    windows_s = relative_windows(duration_s) if plan == "relative" else segments_within(duration_s)
    positions = timeline.positions(windows_s)
    return positions[positions[:, 1] > positions[:, 0]]
