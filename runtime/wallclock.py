"""The wall clock at second 0 of a video: from its metadata, else its name, else its file time, and which of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

_METADATA = ("com.apple.quicktime.creationdate", "creation_time")  # the first has the time zone of the place
_YEARS = range(1990, 2100)  # clocks that were never set stand at 1904 or 1970
_IN_NAME = re.compile(
    r"(?<!\d)(?=(?P<year>\d{4})(?P<d>[-_.]?)(?P<month>\d\d)(?P=d)(?P<day>\d\d)"
    r"(?:[-_. T]| - |__)?"
    r"(?P<hour>\d\d)(?P<t>[-_.:]?)(?P<minute>\d\d)(?P=t)(?P<second>\d\d)(?:\d{3})?(?!\d)(?P<utc>Z(?![A-Za-z]))?)",
    re.ASCII,
)


@dataclass(frozen=True)
class Start:
    """When a video starts.

    Attributes:
        time: ISO 8601; without a time zone where the source tells none.
        source: metadata (of the container), name (of the file) or modified (the file's time less the length of the video).
    """

    time: str
    source: Literal["metadata", "name", "modified"]


def start_of(path: Path, metadata: Mapping[str, str], duration_s: float) -> Start:
    """Find the wall clock of the first frame.

    Args:
        path: the video.
        metadata: of its container, with keys in lower case.
        duration_s: length of the video in seconds.
    """
    for key in _METADATA:
        time = _from_iso(metadata.get(key, ""))
        if time is not None:
            return Start(time.isoformat(), "metadata")
    time = time_in_name(path.name)
    if time is not None:
        return Start(time.isoformat(), "name")
    written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc) - timedelta(seconds=duration_s)
    return Start(written.isoformat(timespec="seconds"), "modified")


def time_in_name(name: str) -> datetime | None:
    """The first date with a time in a file's name, such as 2026-11-23_14-05-00 or ch01_20261123140500; None where there is none."""
    for found in _IN_NAME.finditer(name):
        year, month, day, hour, minute, second = found.group("year", "month", "day", "hour", "minute", "second")
        time = _from_iso(f"{year}-{month}-{day}T{hour}:{minute}:{second}{found['utc'] or ''}")
        if time is not None:
            return time
    return None


def _from_iso(text: str) -> datetime | None:
    """A time in a believable year, or None. Python 3.10 itself reads neither Z nor +0100."""
    try:
        time = datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.strip().replace("Z", "+00:00")))
    except ValueError:
        return None
    return time if time.year in _YEARS else None
