"""Excerpts of videos that a browser cannot play as they are: H.264 in MP4, made on request and kept in the user's cache folder.

Who can read that folder sees parts of the videos: it is made for this user alone, and what was not used for longest is removed first.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import RLock
from time import monotonic

from platformdirs import user_cache_path

from wsra.runtime.drawing.boxes import Picture
from wsra.runtime.errors import ConfigError, DataError, OutputError, ServerError, VideoError
from wsra.runtime.evidence.cutting import Cut, can_encode, copy_part, encode_part
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.locks import lock_is_free
from wsra.runtime.files.reading import read_json
from wsra.runtime.files.writing import replacing
from wsra.runtime.video.frames import file_state
from wsra.runtime.view.media.playable import playable
from wsra.runtime.view.media.workers import Workers
from wsra.runtime.view.web.refusals import NotServed

logger = logging.getLogger(__name__)

LONGEST_S = 120.0
_AT_ONCE, _MOST_WAITING = 2, 32
_MOST_BYTES = 2 << 30
_MOST_S = 600.0  # an excerpt takes longer only where the machine is far too slow for the video
_ROWS = 1080  # of pictures that are encoded, at most
_MADE_BY = 1  # counted up when excerpts are made otherwise


class _StoppedError(BaseException):
    """Ends an excerpt that nobody waits for any more; it is no Exception, because what reads a file makes messages about it of those."""


@dataclass(frozen=True)
class Excerpt:
    """An excerpt in the cache.

    Attributes:
        name: of it in addresses.
        file: the MP4.
        start_s: time of its first frame in seconds of its video.
        end_s: its end.
        copied: whether it holds the pictures as they are in the video, not encoded anew.
    """

    name: str
    file: Path
    start_s: float
    end_s: float
    copied: bool


class Excerpts:
    """Makes and keeps excerpts; the same one is made once, however many ask for it.

    Args (constructor):
        folder: of the cache; None for that of the user.
        most_bytes: of all excerpts together.
        at_once: how many are made at the same time; others wait.
    """

    def __init__(self, folder: Path | None = None, *, most_bytes: int = _MOST_BYTES, at_once: int = _AT_ONCE) -> None:
        self._folder = folder or user_cache_path("wsra") / "excerpts"
        self._most_bytes = most_bytes
        self._workers = Workers("excerpts", at_once=at_once, most_waiting=_MOST_WAITING)
        self._lock = RLock()  # a future that is done already calls back at once
        self._making: dict[str, Future[Excerpt]] = {}
        self._served: dict[str, Path] = {}

    def close(self) -> None:
        """Stop what is being made; nothing half made is left."""
        self._workers.close()

    def excerpt(self, video: Path, start_s: float, end_s: float) -> Future[Excerpt]:
        """An excerpt of a video, from the cache or made now.

        Args:
            video: the file.
            start_s: in seconds of the video; rounded to a tenth, as `end_s`.
            end_s: at most `LONGEST_S` later; one beyond the end of the video is the end of the video.

        Returns:
            The excerpt, or one of the errors below.

        Raises:
            ConfigError: these are no times of the video.
            VideoError: the video cannot be read there.
            MissingExtraError: PyAV is not installed.
            OutputError: the cache cannot be written.
            ServerError: too many wait, it took too long, this machine cannot encode, or the page is closing.
        """
        start_s, end_s = _times(video, start_s, end_s)
        name = _name(video, start_s, end_s)
        with self._lock:
            making = self._making.get(name)
            if making is None:
                making = self._making[name] = self._workers.submit(lambda: self._found_or_made(video, name, start_s, end_s))
                making.add_done_callback(lambda _: self._forget(name))
        return making

    def file_of(self, name: str) -> Path:
        """The file of an excerpt that was asked for since this page was opened.

        Raises:
            NotServed: there is none, or it was removed since.
        """
        with self._lock:
            file = self._served.get(name)
        if file is None or not file.is_file():
            raise NotServed("this excerpt is not kept any more; play the moment again")
        _touch(file)
        return file

    def _forget(self, name: str) -> None:
        with self._lock:
            self._making.pop(name, None)

    def _found_or_made(self, video: Path, name: str, start_s: float, end_s: float) -> Excerpt:
        self._prepare()
        file = self._folder / f"{name}.mp4"
        excerpt = _kept(file) or self._made(video, file, start_s, end_s)
        with self._lock:
            self._served[name] = file
        _touch(file)
        self._make_room(file)
        return excerpt

    def _prepare(self) -> None:
        """Make the folder, and remove what killed processes left half made there."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as err:
            raise OutputError(f"{self._folder}: cannot be made ({err.strerror}); excerpts are kept there: mend it") from err
        for part in self._folder.glob(".*.part"):
            with lock_is_free(part) as free:
                if free:
                    part.unlink(missing_ok=True)

    def _made(self, video: Path, file: Path, start_s: float, end_s: float) -> Excerpt:
        with one_file(video, VideoError):
            cut, copied = self._cut(video, file, start_s, end_s)
        with replacing(_beside(file)) as part:
            part.write_text(json.dumps({"start_s": cut.start_s, "end_s": cut.end_s, "copied": copied}), encoding="ascii")
        return Excerpt(file.stem, file, cut.start_s, cut.end_s, copied)

    def _cut(self, video: Path, file: Path, start_s: float, end_s: float) -> tuple[Cut, bool]:
        """Copy where that is possible, else encode."""
        if playable(video).copied:
            try:
                with replacing(file) as part:
                    return copy_part(video, part, start_s, end_s), True
            except VideoError as err:
                logger.info(f"the excerpt is encoded anew: {err}")
        if not can_encode():
            raise ServerError(f"{video}: browsers do not play it, and this PyAV cannot encode H.264; install one that has libx264")
        with replacing(file) as part:
            try:
                return encode_part(video, part, start_s, end_s, self._watched(), height_px=_ROWS), False
            except _StoppedError as err:
                raise ServerError(f"{video}: {err}") from None

    def _watched(self) -> Callable[[Picture, float], Picture]:
        """Leaves pictures as they are, and ends what takes too long or is not needed any more."""
        until_s = monotonic() + _MOST_S

        def watch(picture: Picture, time_s: float) -> Picture:
            if self._workers.closed:
                raise _StoppedError("the page is closing; open it again")
            if monotonic() > until_s:
                raise _StoppedError(f"the excerpt takes more than {_MOST_S / 60:.0f} minutes on this machine; ask for a shorter one")
            return picture

        return watch

    def _make_room(self, newest: Path) -> None:
        """Remove the excerpts that were not used for longest, until the others fit; the newest stays."""
        with self._lock:
            kept = []
            for file in self._folder.glob("*.mp4"):
                with suppress(OSError):  # another process removes, too
                    stat = file.stat()
                    kept.append((stat.st_mtime_ns, stat.st_size, file))
            total = sum(size for _, size, _ in kept)
            for _, size, file in sorted(kept, key=lambda one: one[0]):
                if total <= self._most_bytes:
                    return
                if file != newest:
                    _beside(file).unlink(missing_ok=True)
                    file.unlink(missing_ok=True)
                    total -= size


def _times(video: Path, start_s: float, end_s: float) -> tuple[float, float]:
    start_s, end_s = round(start_s, 1), round(end_s, 1)
    duration_s = playable(video).duration_s
    if start_s < 0 or not 0 < end_s - start_s <= LONGEST_S + 0.05:
        raise ConfigError(f"an excerpt from second {start_s:g} to {end_s:g}; expected one that is at most {LONGEST_S:g} s long")
    if duration_s is not None and start_s >= duration_s:
        raise ConfigError(f"an excerpt from second {start_s:g} of {video.name}, which is {duration_s:.1f} s long; expected times within it")
    return start_s, end_s if duration_s is None else min(end_s, max(round(duration_s, 1), start_s + 0.1))


def _name(video: Path, start_s: float, end_s: float) -> str:
    identity = f"{_MADE_BY}\0{os.fspath(video)}\0{file_state(video)}\0{start_s:.1f}\0{end_s:.1f}"
    return sha256(os.fsencode(identity)).hexdigest()[:32]


def _beside(file: Path) -> Path:
    return file.with_suffix(".json")


def _kept(file: Path) -> Excerpt | None:
    """The excerpt of a file in the cache; None where there is none, or half of one."""
    if not file.is_file():
        return None
    try:
        kept = read_json(_beside(file), error=DataError, hint="expected the JSON of an excerpt")
        return Excerpt(file.stem, file, float(kept["start_s"]), float(kept["end_s"]), bool(kept["copied"]))
    except (DataError, KeyError, TypeError, ValueError):
        return None


def _touch(file: Path) -> None:
    with suppress(OSError):
        os.utime(file)
