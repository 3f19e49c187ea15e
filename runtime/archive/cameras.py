"""Files of one camera, and which of them follow each other without a break.

A camera is a folder and what remains of a file's name without its date and time; where nothing remains, the folder. Two files follow each
other when they are of one camera and the one starts, by its wall clock, within `GAP_S` of the end of the other.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from wsra.runtime.archive.folders import Folder, within_of
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


class Origin(NamedTuple):
    """What a file of features and its name say of the camera and the clock, wherever the file lies.

    Attributes:
        stem: a name without its date and time, which may be empty; None where no name holds a date.
        start: as `Footage.start`.
        clock: as `Footage.clock`.
    """

    stem: str | None
    start: datetime | None
    clock: str | None


def origin_of(name: str, features: FeatureSummary) -> Origin:
    """Read the camera and the wall clock of a file of features.

    Args:
        name: of the file.
        features: what it says of its video.
    """
    names = Path(features.video).stem, Path(name).stem
    stem = _stem_of(names)
    start, clock = from_iso(features.extra.get("start_time", "")), features.extra.get("start_time_source")
    if start is None or clock not in ("metadata", "name"):
        start = next((time for name in names if (time := time_in_name(name)) is not None), None)
        clock = "name" if start is not None else None
    return Origin(stem, start, clock)


def footage_of(
    feat: Path,
    features: FeatureSummary,
    *,
    root: Path | None,
    file: Path | None = None,
    origin: Origin | None = None,
    folder: Folder | None = None,
) -> Footage:
    """Read the video, the camera and the wall clock of a file of features.

    Args:
        feat: the file.
        features: what it says of its video.
        root: the folder that was asked for, or None where the file was named.
        file: the video, where the input was a video.
        origin: what `origin_of` says, where that is known.
        folder: the folder of the file, where the walk from `root` found it.
    """
    origin = origin or origin_of(feat.name, features)
    within = folder.within if folder is not None else within_of(feat.parent, root)
    camera = _camera(origin.stem, within, folder.name if folder is not None else feat.parent.resolve().name)
    video = features.video
    if "/" in video or video == ".":
        video = Path(video).name
    if root is not None:
        video = f"{within}/{video}" if within and video else within or video or "."
    return Footage(feat, video, camera, origin.start, origin.clock, features.duration_s, features.rows, root is None, file)


def camera_of(stems: Iterable[str], folder: Path, root: Path | None) -> str | None:
    """The camera of a file by the first of its names that holds a date, or None where none does.

    Args:
        stems: its names, without their endings.
        folder: that holds it.
        root: the folder that was asked for, or None where the file was named.
    """
    return _camera(_stem_of(stems), within_of(folder, root), folder.resolve().name)


def _stem_of(names: Iterable[str]) -> str | None:
    return next((kept for name in names if (kept := without_times(name)) is not None), None)


def _camera(stem: str | None, within: str, folder: str) -> str | None:
    if stem is None:
        return None
    return f"{within}/{stem}" if within and stem else within or stem or folder


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
    real = _RealFolders()
    cameras: dict[tuple[Path, str | None, str | None], list[tuple[float, int]]] = {}
    joined: list[list[int]] = []
    for place, stretch in enumerate(order):
        file = stretch.footage
        if file.camera is None or file.start is None:
            joined.append([place])
        else:
            cameras.setdefault((real.of(file.feat), file.camera, file.clock), []).append((_begin(stretch), place))
    for places in cameras.values():
        chain: list[int] = []
        before, length_s = 0.0, 0.0
        for begin, place in sorted(places):
            if chain and abs(begin - before - length_s) <= GAP_S:
                chain.append(place)
            else:
                chain = [place]
                joined.append(chain)
            before, length_s = begin, order[place].to_s - order[place].from_s
    return [tuple(order[place] for place in chain) for chain in sorted(joined, key=min)]


class _RealFolders:
    """The folders of files without links, each found once."""

    def __init__(self) -> None:
        self._found: dict[str, Path] = {}

    def of(self, file: Path) -> Path:
        """The folder of a file."""
        text = os.fspath(file)
        folder = text[: text.rfind(os.sep) + 1]
        found = self._found.get(folder)
        if found is None:
            found = self._found[folder] = file.parent.resolve()
        return found


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
