"""Frames of a video file with their presentation times, decoded by PyAV, scaled in FFmpeg's library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import MissingExtraError, VideoError

if TYPE_CHECKING:
    from av.container import InputContainer

SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".m4v", ".webm", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv"})


RESET_S = 1.0  # stamps that jump back by more than this begin anew


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        time_s: presentation time in seconds after the first frame of the stream.
        image: (H, W, 3) uint8 BGR.
    """

    time_s: float
    image: NDArray[Any]


class Video:
    """A video file, decoded once from its start.

    After the last frame `end_s` is its end (seconds) and `broken` the number of packets that could not be decoded.
    """

    def __init__(self, path: Path, *, height_px: int, frames_per_s: float) -> None:
        """Open a video.

        Args:
            path: the file.
            height_px: frames are scaled to this height, the shape kept, if they are higher.
            frames_per_s: at most so many frames a second are converted; all are decoded.

        Raises:
            VideoError: the file is missing, empty or no video.
            MissingExtraError: PyAV is not installed.
        """
        self.path = path
        self.height_px = height_px
        self.frames_per_s = frames_per_s
        self.end_s = 0.0
        self.broken = 0
        self._container = _open(path)
        self._stream: Any = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._size: tuple[int, int] | None = None
        declared = self._stream.duration
        base = self._stream.time_base
        if declared is not None and base is not None:
            self.declared_s: float | None = float(declared * base)
        else:
            total = self._container.duration
            self.declared_s = total / 1e6 if total else None

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _decoded(self) -> Iterator[Any]:
        import av

        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.broken += 1

    def frames(self) -> Iterator[Frame]:
        """Decode to the end.

        Yields:
            Frames in presentation order, about `frames_per_s` a second.

        Raises:
            VideoError: not one frame could be decoded.
        """
        import av
        from av.video.reformatter import VideoReformatter

        scaler = VideoReformatter()
        base = float(self._stream.time_base or 0)
        origin_s: float | None = None
        last_s, step_s, next_s = -1.0, 1.0 / 25, 0.0
        try:
            for frame in self._decoded():
                if frame.time is None:
                    self.broken += 1
                    continue
                origin_s = frame.time if origin_s is None else origin_s
                if frame.time - origin_s < last_s - RESET_S:  # stamps begin anew, as where two recordings were joined
                    origin_s = frame.time - last_s - step_s
                time_s = frame.time - origin_s
                if time_s <= last_s:
                    self.broken += 1
                    continue
                step_s = float(frame.duration) * base if frame.duration else (min(time_s - last_s, 1.0) if last_s >= 0 else step_s)
                last_s = time_s
                if time_s + 1e-6 < next_s:
                    continue
                next_s = (np.floor((time_s + 1e-6) * self.frames_per_s) + 1) / self.frames_per_s
                width, height = self._scaled(frame)
                scaled = scaler.reformat(frame, width, height, "bgr24", interpolation="AREA")
                yield Frame(float(time_s), scaled.to_ndarray())
        except av.FFmpegError as err:
            raise VideoError(f"{self.path}: cannot be decoded ({err}); is the file damaged?") from err
        if origin_s is None:
            raise VideoError(f"{self.path}: a video stream without one decodable frame; is the file damaged or still empty?")
        self.end_s = last_s + step_s

    def _scaled(self, frame: Any) -> tuple[int, int]:
        """Width and height of what is yielded; those of the first frame, should the stream change its size."""
        if self._size is None:
            height = min(self.height_px, frame.height)
            self._size = max(2, round(frame.width * height / frame.height / 2) * 2), height
        return self._size

    def damage(self) -> str | None:
        """After the last frame: what was lost, in words, or None."""
        told = []
        if self.broken:
            told.append(f"{self.broken} packets or frames could not be used")
        if self.declared_s is not None and self.end_s < self.declared_s - RESET_S:
            told.append(f"ends at {self.end_s:.1f} s of {self.declared_s:.1f} s that it declares")
        return "; ".join(told) or None


def _open(path: Path) -> InputContainer:
    try:
        import av
    except ImportError as err:
        raise MissingExtraError("PyAV", "video", f"decoding {path}") from err
    if not path.is_file():
        raise VideoError(f"{path}: no such file; expected a video")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); expected a video")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as err:
        raise VideoError(f"{path}: not a video that FFmpeg can open ({err})") from err
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        container.close()
        raise VideoError(f"{path}: no video stream (found: {kinds}); expected a video")
    return container
