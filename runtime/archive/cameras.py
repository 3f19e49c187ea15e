"""Files of one camera, and which of them follow each other without a break.

A camera is a folder and what remains of a file's name without its date and time; where nothing remains, the folder. Two files follow each
other when they are of one camera and the one starts, by its wall clock, within `GAP_S` of the end of the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from wsra.runtime.formats.features import FeatureSummary
from wsra.runtime.formats.wallclock import from_iso, instant, time_in_name, without_times
from wsra.runtime.grounding.recording import GAP_S, Part, Recording, joined


@dataclass(frozen=True)
class Footage:
    """One file of features, closed.

    Attributes:
        feat: the file.
        video: name of its video in answers.
        camera: name of its camera in answers, or None where the name holds no date, so no camera.
        start: wall clock of second 0, or None where none can be trusted.
        clock: where `start` is from: metadata or name.
        duration_s: of the video.
        snippets: how many it has.
        named: whether the file was named itself, not found in a folder.
        file: the video, where the input was a video; None where it was the .feat file.
    """

    feat: Path
    video: str
    camera: str | None
    start: datetime | None
    clock: str | None
    duration_s: float
    snippets: int
    named: bool
    file: Path | None = None


@dataclass(frozen=True)
class Stretch:
    """Snippets [first, last) of a file: those of seconds `from_s` to `to_s`."""

    footage: Footage
    first: int
    last: int
    from_s: float
    to_s: float


Stretches = tuple[Stretch, ...]  # of one camera, which follow each other and are answered as one recording


def footage_of(feat: Path, features: FeatureSummary, *, root: Path | None, file: Path | None = None) -> Footage:
    """Read the video, the camera and the wall clock of a file of features.

    Args:
        feat: the file.
        features: what it says of its video.
        root: the folder that was asked for, or None where the file was named.
        file: the video, where the input was a video.
    """
    names = Path(features.video).stem, feat.stem
    within = _within(feat.parent, root)
    camera = camera_of(names, feat.parent, root)
    start, clock = from_iso(features.extra.get("start_time", "")), features.extra.get("start_time_source")
    if start is None or clock not in ("metadata", "name"):
        start = next((time for name in names if (time := time_in_name(name)) is not None), None)
        clock = "name" if start is not None else None
    video = Path(features.video).name if root is None else (Path(within) / Path(features.video).name).as_posix()
    return Footage(feat, video, camera, start, clock, features.duration_s, features.rows, root is None, file)


def camera_of(stems: Iterable[str], folder: Path, root: Path | None) -> str | None:
    """The camera of a file by the first of its names that holds a date, or None where none does.

    Args:
        stems: its names, without their endings.
        folder: that holds it.
        root: the folder that was asked for, or None where the file was named.
    """
    stem = next((kept for name in stems if (kept := without_times(name)) is not None), None)
    if stem is None:
        return None
    within = _within(folder, root)
    return "/".join(part for part in (within if within != "." else "", stem) if part) or folder.resolve().name


def _within(folder: Path, root: Path | None) -> str:
    return folder.relative_to(root).as_posix() if root is not None else "."


def distinct_names(footage: Sequence[Footage]) -> list[Footage]:
    """The same files; videos that share a name are named by their file instead."""
    count = Counter(file.video for file in footage)
    return [replace(file, video=file.feat.as_posix()) if count[file.video] > 1 else file for file in footage]


def whole(footage: Footage) -> Stretch:
    """All of a file."""
    return Stretch(footage, 0, footage.snippets, 0.0, footage.duration_s)


def recordings(stretches: Iterable[Stretch]) -> list[Stretches]:
    """Join what follows each other; the order is that of the first of each."""
    order = list(stretches)
    cameras: dict[tuple[Path, str | None, str | None], list[int]] = {}
    joined: list[list[int]] = []
    for place, stretch in enumerate(order):
        file = stretch.footage
        if file.camera is None or file.start is None:
            joined.append([place])
        else:
            cameras.setdefault((file.feat.parent.resolve(), file.camera, file.clock), []).append(place)
    for places in cameras.values():
        chain: list[int] = []
        for place in sorted(places, key=lambda place: _begin(order[place])):
            if chain and abs(gap_s(order[chain[-1]], order[place])) <= GAP_S:
                chain.append(place)
            else:
                chain = [place]
                joined.append(chain)
    return [tuple(order[place] for place in chain) for chain in sorted(joined, key=min)]


def gap_s(earlier: Stretch, next_one: Stretch) -> float:
    """Seconds from the end of a stretch to the start of the next by their wall clocks; below 0 where they overlap."""
    return _begin(next_one) - _begin(earlier) - (earlier.to_s - earlier.from_s)


def joined_features(recording: Stretches) -> Recording:
    """The features of a recording on one clock; its files are opened while they are read.

    Raises:
        FeatureError: a file cannot be read, or does not fit the first.
    """
    parts = [Part(stretch.footage.feat, stretch.first, stretch.last, stretch.from_s, stretch.to_s) for stretch in recording]
    starts_s = [_begin(stretch) for stretch in recording] if len(recording) > 1 else None
    return joined(parts, video=recording[0].footage.video, starts_s=starts_s)


def _begin(stretch: Stretch) -> float:
    """Wall clock of a stretch's start in seconds since 1970."""
    assert stretch.footage.start is not None
    return instant(stretch.footage.start).timestamp() + stretch.from_s
