"""What the opened folders hold, made anew from time to time, and which file an id means. Nothing that a client sends is ever a path."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from wsra.runtime.archive.cameras import Footage
from wsra.runtime.archive.inputs import MissingFeatures
from wsra.runtime.archive.search import camera_name
from wsra.runtime.drawing.sources import find_video
from wsra.runtime.errors import FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.features import read_features
from wsra.runtime.formats.wallclock import instant
from wsra.runtime.view.looking import LeftOut, look_into
from wsra.runtime.view.refusals import NotServed
from wsra.runtime.view.renewed import Renewed

Value = TypeVar("Value")


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


class Library:
    """The opened folders. A context manager: within its block a thread lists them from time to time.

    Args (constructor):
        roots: the folders.
        bundle: whose features are wanted.
    """

    def __init__(self, roots: Sequence[Path], bundle: Bundle) -> None:
        real = {root.resolve(): root for root in reversed(roots)}  # each once, however it is spelled
        self.roots, self._real, self._bundle = tuple(reversed(real.values())), tuple(real), bundle
        self._videos: dict[Path, Path | None] = {}
        self._listing = Renewed(self._made, "library")

    def __enter__(self) -> Library:
        self._listing.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the thread."""
        self._listing.__exit__(kind, error, trace)

    def listing(self) -> Listing:
        """The newest listing, at once; only the first is waited for.

        Raises:
            ServerError: the page closes.
        """
        return self._listing.newest()

    def refresh(self) -> None:
        """Make a new listing soon."""
        self._listing.soon()

    def camera_names(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Names of cameras.

        Raises:
            NotServed: an id is unknown.
        """
        names = {camera.id: camera.name for camera in self.listing().cameras}
        return tuple(_of(names, one, "camera") for one in ids)

    def missing_in(self, folder_id: str) -> tuple[MissingFeatures, ...]:
        """Videos in a folder and below that have no features yet.

        Raises:
            NotServed: the id is unknown.
        """
        return _of({folder.id: folder.missing for folder in self.listing().folders}, folder_id, "folder")

    def feat_of(self, video_id: str) -> Path:
        """The .feat file of an id.

        Raises:
            NotServed: the id is unknown, or the file is gone or lies outside the opened folders.
        """
        return self._inside(_of(self.listing().by_id, video_id, "video").feat)

    def video_of(self, video_id: str) -> Path:
        """The video of an id.

        Raises:
            NotServed: the id is unknown, or the video is not here or lies outside the opened folders.
        """
        footage = _of(self.listing().by_id, video_id, "video")
        video = self._video(footage.feat, footage.file)
        if video is None:
            raise NotServed(f"{footage.video} is not beside {footage.feat.name}; put the video there to see it")
        return self._inside(video)

    def video_id(self, feat: Path, file: Path | None) -> str | None:
        """The id of a .feat file, or None where its video is not here.

        Args:
            feat: the file.
            file: the video, where the input was a video.
        """
        video = self._video(feat, file)
        return None if video is None or not self.holds(video) else id_of("v", feat)

    def holds(self, path: Path) -> bool:
        """Whether a file is in an opened folder, also when every link on its way is followed."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # it is gone, or its links lead in a circle
            return False
        return any(real.is_relative_to(root) for root in self._real)

    def _inside(self, path: Path) -> Path:
        if not self.holds(path):
            raise NotServed(f"{path.name} is gone, or is a link that leads out of the opened folders")
        return path.resolve()

    def _video(self, feat: Path, file: Path | None) -> Path | None:
        if file is not None:
            return file
        if feat not in self._videos:
            try:
                with one_file(feat, FeatureError):
                    self._videos[feat] = find_video(read_features(feat))
            except FeatureError:
                self._videos[feat] = None
        return self._videos[feat]

    def _made(self) -> Listing:
        self._videos = {}  # videos may have come and gone
        found = look_into(self.roots, self._bundle)
        footage = tuple(file for file in found.footage if self._is_safe(file.feat) and (file.file is None or self._is_safe(file.file)))
        missing = tuple(one for one in found.missing if self._is_safe(one.given.path) and self._is_safe(one.feat))
        led_out = {file.feat for file in found.footage} - {file.feat for file in footage}
        led_out |= {one.given.path for one in found.missing} - {one.given.path for one in missing}
        left_out = [
            LeftOut(str(path), "a link that leads out of the opened folders; copy the file, or open its folder") for path in led_out
        ]
        return Listing(
            footage,
            missing,
            (*found.left_out, *sorted(left_out, key=lambda one: one.file)),
            _cameras(footage),
            _folders(self.roots, footage, missing),
            sum(file.duration_s for file in footage) / 3600,
            {id_of("v", file.feat): file for file in footage},
        )

    def _is_safe(self, path: Path) -> bool:
        """Whether a listed file is no link that leads out; the folders of a listing are none."""
        return not path.is_symlink() or self.holds(path)


def id_of(kind: str, of: Path | str) -> str:
    """The id of a camera ("c", by its name), a folder ("d") or a .feat file ("v"); the same at each start.

    Args:
        kind: its letter.
        of: the name or the path.
    """
    text = str(of) if isinstance(of, str) else str(of.absolute())
    return kind + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


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


def _of(known: Mapping[str, Value], one: str, what: str) -> Value:
    if one not in known:
        raise NotServed(f"no {what} of this page has the id {one!r}; load the page again")
    return known[one]
