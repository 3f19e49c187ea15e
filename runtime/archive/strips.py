"""Strips: the score curve of a recording over a window of time, in as many bins as a screen has pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.archive.cameras import Stretches
from wsra.runtime.errors import ConfigError
from wsra.runtime.formats.wallclock import instant


@dataclass(frozen=True)
class StripWindow:
    """A window of time in equal bins.

    Attributes:
        from_s: its start, in seconds since 1970.
        to_s: its end.
        bins: how many, above 0.

    Raises:
        ConfigError: the end is not after the start, or there is no bin.
    """

    from_s: float
    to_s: float
    bins: int

    def __post_init__(self) -> None:
        if not self.from_s < self.to_s or self.bins < 1:
            raise ConfigError(f"a window from {self.from_s} to {self.to_s} in {self.bins} bins; expected an end after the start and a bin")


@dataclass(frozen=True)
class Strip:
    """What one sentence scores in one recording, over a window.

    Attributes:
        feat: the first file of the recording.
        clock: whether the recording has a wall clock; the window of one without is its own length, from second 0.
        first: the bin of the first value.
        values: (n,) float32 the highest logit phi - theta of the rows in each bin, and NaN where no row is.
    """

    feat: Path
    clock: bool
    first: int
    values: NDArray[np.float32]


def strip_of(
    curve: NDArray[np.float64], times_s: NDArray[np.float64], duration_s: float, recording: Stretches, window: StripWindow
) -> Strip:
    """The strip of a recording.

    Args:
        curve: (T,) logit phi - theta of its rows.
        times_s: (T, 2) of the rows, in seconds of the recording.
        duration_s: its length.
        recording: its stretches.
        window: of a recording without a wall clock, only the number of bins counts.
    """
    footage, begin = recording[0].footage, recording[0]
    clock = footage.camera is not None and footage.start is not None
    if clock:
        assert footage.start is not None
        zero_s, from_s, to_s = instant(footage.start).timestamp() + begin.from_s, window.from_s, window.to_s
    else:
        zero_s, from_s, to_s = 0.0, 0.0, max(duration_s, 1e-3)
    places = (times_s + (zero_s - from_s)) * (window.bins / (to_s - from_s))
    first, last = np.floor(places[:, 0]).astype(np.int64), np.ceil(places[:, 1]).astype(np.int64) - 1
    last = np.maximum(first, last)
    seen = (last >= 0) & (first < window.bins)
    if not seen.any():
        return Strip(footage.feat, clock, 0, np.empty(0, np.float32))
    first, last, curve = np.maximum(first[seen], 0), np.minimum(last[seen], window.bins - 1), curve[seen]
    start = int(first.min())
    values = np.full(int(last.max()) - start + 1, -np.inf)
    for ahead in range(int((last - first).max()) + 1):
        reached = first + ahead <= last
        np.maximum.at(values, first[reached] + ahead - start, curve[reached])
    values[np.isneginf(values)] = np.nan
    return Strip(footage.feat, clock, start, values.astype(np.float32))
