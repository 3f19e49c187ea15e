"""What the opened folders hold, made anew from time to time, and which file an id means. Nothing that a client sends is ever a path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.inputs import MissingFeatures
from wsra.runtime.archive.listing import list_archive
from wsra.runtime.drawing.sources import find_video
from wsra.runtime.errors import FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.features import read_features
from wsra.runtime.view.library.listing import Listing, id_of, left_out_of, listing_of
from wsra.runtime.view.library.renewed import Renewed
from wsra.runtime.view.web.refusals import NotServed

Value = TypeVar("Value")
_LED_OUT = "it or its .feat file is a link that leads out of the opened folders; copy the file, or open its folder"


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
        with Catalogue() as catalogue:
            found = list_archive(self.roots, self._bundle.manifest.backbone, self._bundle.check_features, catalogue)
        links = _links({file.feat.parent for file in found.footage} | {one.given.path.parent for one in found.missing})
        led_out = {path for path in links if not self.holds(path)}
        footage, missing = found.footage, found.missing
        left_out = [left_out_of(one.file, one.reason) for one in found.left_out]
        if led_out:
            refused = {file.file or file.feat for file in footage if led_out & {file.feat, file.file}}
            refused |= {one.given.path for one in missing if led_out & {one.feat, one.given.path}}
            left_out += [left_out_of(path, _LED_OUT) for path in sorted(refused)]
            footage = tuple(file for file in footage if (file.file or file.feat) not in refused)
            missing = tuple(one for one in missing if one.given.path not in refused)
        return listing_of(self.roots, footage, missing, left_out)


def _links(folders: Iterable[Path]) -> set[Path]:
    """The links in folders; to ask each file takes longer."""
    found: set[Path] = set()
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            found.update(Path(entry.path) for entry in entries if entry.is_symlink())
    return found


def _of(known: Mapping[str, Value], one: str, what: str) -> Value:
    if one not in known:
        raise NotServed(f"no {what} of this page has the id {one[:40]!r}; load the page again")
    return known[one]
