"""`--between` and `--daily`: a stretch of time, and a time of day on every day, as parts of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np

from wsra.runtime.archive.cameras import Footage, Stretch, whole
from wsra.runtime.errors import ConfigError
from wsra.runtime.formats.features import read_features
from wsra.runtime.formats.wallclock import from_iso, instant

_EDGE_S = 1e-6
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Between:
    """From `start` until before `end`: two times with a date, or two times of day, which mean every day."""

    start: datetime | time
    end: datetime | time

    def parts_s(self, begin: datetime, duration_s: float) -> list[tuple[float, float]]:
        """Which seconds of a video lie between.

        Args:
            begin: wall clock of its second 0.
            duration_s: its length.

        Returns:
            Start and end of each part, in order; whole files as (0, duration_s).
        """
        zero = instant(begin)
        parts = []
        for start, end in self._spans(zero, duration_s):
            from_s = max(0.0, (instant(start) - zero).total_seconds())
            to_s = min(duration_s, (instant(end) - zero).total_seconds())
            if from_s < to_s:
                parts.append((from_s, to_s))
        return parts

    def _spans(self, zero: datetime, duration_s: float) -> list[tuple[datetime, datetime]]:
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            return [(self.start, self.end)]
        assert isinstance(self.start, time) and isinstance(self.end, time)
        first, last = (at.astimezone().date() for at in (zero - _DAY, zero + timedelta(seconds=duration_s)))
        over_night = _DAY if self.end <= self.start else timedelta(0)
        days = (first + _DAY * number for number in range((last - first).days + 1))
        return [(datetime.combine(day, self.start), datetime.combine(day + over_night, self.end)) for day in days]


def read_between(start: str, end: str, *, option: str = "--between") -> Between:
    """Read two times: both ISO 8601 with a date (2026-11-23T14:00), or both times of day (14:00); without a zone they are local.

    Args:
        start: the first time.
        end: the second.
        option: that gave them; `--daily` takes times of day only.

    Raises:
        ConfigError: they are something else, or the end is not after the start.
    """
    first, last = from_iso(start), from_iso(end)
    if first is not None and last is not None and option != "--daily":
        if instant(first) >= instant(last):
            raise ConfigError(f"{option} {start} {end}: the end is not after the start; give the earlier time first")
        return Between(first, last)
    try:
        clock = time.fromisoformat(start), time.fromisoformat(end)
    except ValueError:
        clock = None
    if clock is None or clock[0].tzinfo is not None or clock[1].tzinfo is not None or clock[0] == clock[1]:
        dated = "" if option == "--daily" else "two times with a date, as 2026-11-23T14:00 2026-11-23T15:00, or "
        raise ConfigError(f"{option} {start} {end}: expected {dated}two of the day, as 22:00 06:00")
    return Between(*clock)


def stretches(footage: Footage, *times: Between) -> list[Stretch]:
    """The parts of a file whose rows begin in all of these times.

    Raises:
        FeatureError: the file cannot be read.
    """
    if footage.start is None:
        return []
    parts = []
    for from_s, to_s in _in_all([between.parts_s(footage.start, footage.duration_s) for between in times]):
        if (from_s, to_s) == (0.0, footage.duration_s):
            return [whole(footage)]
        features = read_features(footage.feat)
        times_s = features.times_s
        first, last = (int(row) for row in np.searchsorted(times_s[:, 0], [from_s - _EDGE_S, to_s - _EDGE_S]))
        if features.tracks is not None:  # where nothing moved there is no row, and nothing is found
            parts.append(Stretch(footage, first, last, from_s, to_s))
        elif first < last:
            begin_s = 0.0 if from_s == 0.0 else float(times_s[first, 0])
            end_s = footage.duration_s if to_s == footage.duration_s else float(times_s[last - 1, 1])
            parts.append(Stretch(footage, first, last, begin_s, end_s))
    return parts


def _in_all(lists: Sequence[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The seconds that lie in a part of every list."""
    common, *others = lists
    for parts in others:
        overlaps = ((max(one[0], other[0]), min(one[1], other[1])) for one in common for other in parts)
        common = sorted((from_s, to_s) for from_s, to_s in overlaps if from_s < to_s)
    return common
