"""The wall clock at second 0 of a video, from its metadata, else its name, else its file time, with the source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

RULES = 1  # raise it when a name is read in another way than before: the catalogue of an archive keeps what was read
_METADATA = ("com.apple.quicktime.creationdate", "creation_time")  # the first one has the local time zone
_YEARS = range(1990, 2100)  # clocks that were never set show 1904 or 1970
_SEPARATORS = " _-.,~"
_IN_NAME = re.compile(
    r"(?<!\d)(?=(?P<all>(?P<year>\d{4})(?P<d>[-_.]?)(?P<month>\d\d)(?P=d)(?P<day>\d\d)"
    r"(?:[-_. T]| - |__)?"
    r"(?P<hour>\d\d)(?P<t>[-_.:]?)(?P<minute>\d\d)(?P=t)(?P<second>\d\d)(?:\d{3})?(?!\d)(?P<utc>Z(?![A-Za-z]))?))",
    re.ASCII,
)


@dataclass(frozen=True)
class Start:
    """When a video starts.

    Attributes:
        time: ISO 8601; without a time zone if the source has none.
        source: "metadata" (of the container), "name" (of the file) or "modified" (the file's time minus the length of the video).
    """

    time: str
    source: Literal["metadata", "name", "modified"]


def start_of(path: Path, metadata: Mapping[str, str], duration_s: float) -> Start:
    """Find the wall clock of the first frame.

    Args:
        path: the video.
        metadata: metadata of its container, with keys in lower case.
        duration_s: length of the video in seconds.
    """
    for key in _METADATA:
        time = from_iso(metadata.get(key, ""))
        if time is not None:
            return Start(time.isoformat(), "metadata")
    time = time_in_name(path.name)
    if time is not None:
        return Start(time.isoformat(), "name")
    written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc) - timedelta(seconds=duration_s)
    return Start(written.isoformat(timespec="seconds"), "modified")


def time_in_name(name: str) -> datetime | None:
    """The first date with a time in a file's name, such as 2026-11-23_14-05-00 or ch01_20261123140500; None if there is none."""
    return next((time for time, _, _ in _times_in(name)), None)


def without_times(name: str) -> str | None:
    """A name without its timestamps and their separators, such as ch01 for ch01_20261123140500; None if it has no timestamp."""
    kept, end = [], 0
    for _, first, last in _times_in(name):
        if first >= end:
            kept.append(name[end:first])
            end = last
    parts = [part.strip(_SEPARATORS) for part in (*kept, name[end:])]
    return "_".join(part for part in parts if part) if kept else None


def instant(time: datetime) -> datetime:
    """The same moment in UTC; a time without a zone is local time of this machine."""
    return time.astimezone(timezone.utc)


def local(time: datetime) -> datetime:
    """The same moment as local time of this machine: with its offset, or without a zone if `time` has none."""
    here = instant(time).astimezone()
    return here.replace(tzinfo=None) if time.tzinfo is None else here


def later(time: datetime, seconds: float) -> datetime:
    """The time that many seconds later, in the zone of `time`, or without a zone if it has none."""
    moved = instant(time) + timedelta(seconds=seconds)
    return moved.astimezone().replace(tzinfo=None) if time.tzinfo is None else moved.astimezone(time.tzinfo)


def _times_in(name: str) -> Iterator[tuple[datetime, int, int]]:
    """Each date with a time in a name, with its start and end in the name."""
    for found in _IN_NAME.finditer(name):
        year, month, day, hour, minute, second = found.group("year", "month", "day", "hour", "minute", "second")
        time = from_iso(f"{year}-{month}-{day}T{hour}:{minute}:{second}{found['utc'] or ''}")
        if time is not None:
            yield time, found.start(), found.end("all")


def from_iso(text: str) -> datetime | None:
    """A time in a plausible year, or None. Python 3.10 itself parses neither Z nor +0100."""
    try:
        time = datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.strip().replace("Z", "+00:00")))
    except ValueError:
        return None
    return time if time.year in _YEARS else None
