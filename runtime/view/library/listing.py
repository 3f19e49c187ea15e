"""What the page knows of the opened folders: cameras, folders, files that can be asked or not; and their ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsra.runtime.archive.cameras import Footage
from wsra.runtime.archive.inputs import MissingFeatures
from wsra.runtime.archive.search import camera_name
from wsra.runtime.formats.wallclock import instant


@dataclass(frozen=True)
class Camera:
    """A camera, or a file without a camera, which is one of its own.

    Attributes:
        id: its id.
        name: as `camera_name` says.
        clock: whether its wall clock is known; that of a file without a camera does not count.
        from_s: start of its first file in seconds since 1970; 0 without a clock.
        to_s: end of its last; without a clock its length.
        hours: of video.
        files: how many.
    """

    id: str
    name: str
    clock: bool
    from_s: float
    to_s: float
    hours: float
    files: int


@dataclass(frozen=True)
class Folder:
    """An opened folder, or one below it.

    Attributes:
        id: its id.
        name: the opened folder's name, and the way below it.
        ready: files in it and below that can be asked.
        missing: videos in it and below that have no features yet.
    """

    id: str
    name: str
    ready: int
    missing: tuple[MissingFeatures, ...]


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that cannot be used, and why, in a sentence."""

    file: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What the opened folders hold.

    Attributes:
        footage: what can be asked.
        missing: videos without features.
        cameras: by name.
        folders: each opened folder, and those below it that hold something.
        left_out: files that cannot be used.
        hours: of video that can be asked.
    """

    footage: tuple[Footage, ...]
    missing: tuple[MissingFeatures, ...]
    left_out: tuple[LeftOut, ...]
    cameras: tuple[Camera, ...]
    folders: tuple[Folder, ...]
    hours: float
    by_id: dict[str, Footage] = field(repr=False)

    def camera_id(self, feat: Path) -> str:
        """The id of the camera of a .feat file."""
        return id_of("c", camera_name(self.by_id[id_of("v", feat)]))

    @property
    def from_s(self) -> float | None:
        """The earliest wall clock, in seconds since 1970; None where none is known."""
        return min((camera.from_s for camera in self.cameras if camera.clock), default=None)

    @property
    def to_s(self) -> float | None:
        """The latest wall clock."""
        return max((camera.to_s for camera in self.cameras if camera.clock), default=None)


def listing_of(
    roots: Sequence[Path], footage: Sequence[Footage], missing: Sequence[MissingFeatures], left_out: Sequence[LeftOut]
) -> Listing:
    """Describe what opened folders hold.

    Args:
        roots: the folders.
        footage: what can be asked.
        missing: videos without features.
        left_out: files that cannot be used.
    """
    return Listing(
        tuple(footage),
        tuple(missing),
        tuple(left_out),
        _cameras(footage),
        _folders(roots, footage, missing),
        sum(file.duration_s for file in footage) / 3600,
        {id_of("v", file.feat): file for file in footage},
    )


def id_of(kind: str, of: Path | str) -> str:
    """The id of a camera ("c", by its name), a folder ("d") or a .feat file ("v"); the same at each start.

    Args:
        kind: its letter.
        of: the name or the path.
    """
    text = str(of) if isinstance(of, str) else str(of.absolute())
    return kind + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def left_out_of(path: Path, message: str) -> LeftOut:
    """A file with the message about it, which may begin with its name."""
    return LeftOut(str(path), message.removeprefix(f"{path}: "))


def _cameras(footage: Sequence[Footage]) -> tuple[Camera, ...]:
    """The cameras of files, by name."""
    by_name: dict[str, list[Footage]] = {}
    for file in footage:
        by_name.setdefault(camera_name(file), []).append(file)
    return tuple(_camera(name, by_name[name]) for name in sorted(by_name))


def _camera(name: str, files: Sequence[Footage]) -> Camera:
    hours = sum(file.duration_s for file in files) / 3600
    begins = [(instant(file.start).timestamp(), file.duration_s) for file in files if file.camera is not None and file.start is not None]
    if not begins:
        return Camera(id_of("c", name), name, False, 0.0, max(file.duration_s for file in files), hours, len(files))
    return Camera(id_of("c", name), name, True, min(at for at, _ in begins), max(at + length for at, length in begins), hours, len(files))


def _folders(roots: Sequence[Path], footage: Sequence[Footage], missing: Sequence[MissingFeatures]) -> tuple[Folder, ...]:
    """Each opened folder, and those below that hold something, parents first."""
    ready: Counter[Path] = Counter()
    lacking: dict[Path, list[MissingFeatures]] = {}
    names = {root: root.resolve().name or str(root) for root in roots}
    for folder, count in Counter(file.feat.parent for file in footage).items():
        for place in _up(folder, names):
            ready[place] += count
    for one in missing:
        for place in _up(one.given.path.parent, names):
            lacking.setdefault(place, []).append(one)
    places = sorted({*roots, *ready, *lacking})
    return tuple(Folder(id_of("d", place), _name(place, names), ready[place], tuple(lacking.get(place, ()))) for place in places)


def _up(folder: Path, roots: Mapping[Path, str]) -> Iterator[Path]:
    """A folder, and those above it up to the opened one."""
    for place in (folder, *folder.parents):
        yield place
        if place in roots:
            return


def _name(place: Path, roots: Mapping[Path, str]) -> str:
    root = next(root for root in (place, *place.parents) if root in roots)
    return "/".join((roots[root], *place.relative_to(root).parts))
