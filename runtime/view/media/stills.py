"""Frames of videos and crops of them as JPEG, decoded on request, at most two videos at once, and kept in memory up to a limit."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from wsra.runtime.drawing.boxes import Box, Picture, crop, fitted, jpeg
from wsra.runtime.errors import VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.limits import PIXELS
from wsra.runtime.video.frames import Frame, file_state
from wsra.runtime.video.stills import stills
from wsra.runtime.view.media.workers import Workers

_AT_ONCE, _MOST_WAITING = 2, 256
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Wanted:
    """A picture of a video.

    Attributes:
        time_s: in seconds of the video; of the frame nearest to it.
        width_px: wider pictures are scaled down.
        box: what to crop, and a little around it; None for the whole picture.
    """

    time_s: float
    width_px: int
    box: Box | None = None


@dataclass(frozen=True)
class _Key:
    video: Path
    state: tuple[int, int] | None
    wanted: Wanted


class Stills:
    """Makes and keeps pictures. Those of one video that wait together are decoded in one pass.

    Args (constructor):
        most_bytes: of all pictures that are kept.
    """

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._workers = Workers("stills", at_once=_AT_ONCE, most_waiting=_MOST_WAITING)
        self._lock = Lock()
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._waiting: dict[Path, dict[_Key, Future[bytes]]] = {}

    def close(self) -> None:
        """Refuse what waits."""
        self._workers.close()

    @staticmethod
    def tag(video: Path, wanted: Wanted) -> str:
        """What tells a picture from others, and from the same one of a video that was written to since."""
        return sha256(repr((file_state(video), wanted)).encode()).hexdigest()[:16]

    def picture(self, video: Path, wanted: Wanted) -> Future[bytes]:
        """A picture as JPEG, from memory or decoded now.

        Raises:
            VideoError: no frame can be decoded there; as the error of the future.
            MissingExtraError: PyAV or OpenCV is not installed; as the error of the future.
            ServerError: too many wait, or the page is closing.
        """
        self._workers.refuse_if_closed()
        key = _Key(video, file_state(video), wanted)
        with self._lock:
            if (content := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                done: Future[bytes] = Future()
                done.set_result(content)
                return done
            batch = self._waiting.get(video, {})
            if key not in batch:
                batch[key] = Future()
                if len(batch) == 1:
                    self._waiting[video] = batch
                    try:
                        self._workers.submit(lambda: self._decode(video)).add_done_callback(lambda task: self._ended(batch, task))
                    except BaseException:
                        del self._waiting[video]
                        raise
            return batch[key]

    def _decode(self, video: Path) -> None:
        with self._lock:
            batch = self._waiting.pop(video)
        keys = list(batch)
        try:
            frames: list[Frame | BaseException] = [*stills(video, [key.wanted.time_s for key in keys], height_px=PIXELS)]
        except Exception as err:
            frames = [_alone(key) for key in keys] if isinstance(err, VideoError) and len(keys) > 1 else [err] * len(keys)
        for key, frame in zip(keys, frames, strict=True):
            try:
                if isinstance(frame, BaseException):
                    raise frame
                with one_file(video, VideoError):
                    content = jpeg(_shown(frame.image, key.wanted))
            except Exception as err:
                batch[key].set_exception(err)
            else:
                self._keep(key, content)
                batch[key].set_result(content)

    def _ended(self, batch: dict[_Key, Future[bytes]], task: Future[None]) -> None:
        """Where a batch was never begun, or broke off, nobody waits for ever."""
        if (err := task.exception()) is not None:
            for future in batch.values():
                if not future.done():
                    future.set_exception(err)

    def _keep(self, key: _Key, content: bytes) -> None:
        with self._lock:
            self._bytes += len(content) - len(self._kept.pop(key, b""))
            self._kept[key] = content
            while self._bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)


def _alone(key: _Key) -> Frame | BaseException:
    """The frame of one time where those of others in the same video cannot be decoded."""
    try:
        return stills(key.video, [key.wanted.time_s], height_px=PIXELS)[0]
    except Exception as err:
        return err


def _shown(picture: Picture, wanted: Wanted) -> Picture:
    part = picture if wanted.box is None else crop(picture, wanted.box)
    return fitted(part, wanted.width_px, PIXELS)
