"""Frames of a video file with their presentation times: decoded by PyAV, scaled by FFmpeg's library, turned upright."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.limits import ASPECT, MOST_S, PIXELS
from wsra.runtime.video.container import declared_length_s, has_avi_index, is_complete, video_stream
from wsra.runtime.video.hardware import CPU, open_decoder
from wsra.runtime.video.pictures import Deinterlacer, display_matrix, is_on_its_side, upright
from wsra.runtime.video.stamps import RESET_S, Stamps, first_shown_s, first_stamp_s, is_indexed

_COUNTED = "avi"  # has an index of key frames, too, but instead of a clock the order of its frames
_BEFORE_S = 1.0  # the key frame is sought this much earlier, because some frames before it in the file may be shown after it


class Reading(NamedTuple):
    """How a video is read.

    Attributes:
        height_px: higher frames are scaled down to this height; the aspect ratio is kept.
        frames_per_s: at most this many frames per second are converted; all are decoded.
        detail_px: a second, larger height to which frames are scaled as well if they are higher than `height_px`; 0 for none.
    """

    height_px: int
    frames_per_s: float
    detail_px: int = 0


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        time_s: presentation time in seconds after the first frame of the stream.
        image: (H, W, 3) uint8 BGR, upright, with square pixels.
        detail: the same frame with more rows, if requested and if the video has them; else None.
    """

    time_s: float
    image: NDArray[Any]
    detail: NDArray[Any] | None = field(default=None, kw_only=True)

    @property
    def finest(self) -> NDArray[Any]:
        """The picture with the most rows."""
        return self.image if self.detail is None else self.detail


class Every:
    """Which frames are converted: the first one from each multiple of 1 / `frames_per_s` on.

    Args (constructor):
        frames_per_s: at most this many are taken per second.
        from_s: none is taken before this second.
    """

    def __init__(self, frames_per_s: float, *, from_s: float = 0.0) -> None:
        self._frames_per_s, self._next_s = frames_per_s, from_s

    def takes(self, time_s: float) -> bool:
        """Whether a frame is taken; frames must come in presentation order."""
        if time_s + 1e-6 < self._next_s:
            return False
        self._next_s = (np.floor((time_s + 1e-6) * self._frames_per_s) + 1) / self._frames_per_s
        return True


class Video:
    """A video file, decoded once from its start.

    `state` is the size and time of the file when it was opened. `decoded` counts all frames, including those that are not converted. After
    the last frame, `end_s` is the end of the video in seconds, `broken` the number of damaged packets and frames that FFmpeg detected, and
    `interlaced` the number of frames that were deinterlaced.
    """

    def __init__(self, path: Path, *, height_px: int, frames_per_s: float, detail_px: int = 0, decoder: str = CPU) -> None:
        """Open a video.

        Args:
            path: the file.
            height_px: see `Reading`.
            frames_per_s: see `Reading`.
            detail_px: see `Reading`.
            decoder: see `open_decoder`; if it returns no frame the CPU decodes, and `fallback` says why.

        Raises:
            VideoError: see `open_container`.
            MissingExtraError: PyAV is not installed.
        """
        self.path = path
        self.height_px = height_px
        self.frames_per_s = frames_per_s
        self.detail_px = detail_px
        self.end_s = 0.0
        self.decoded = 0
        self.broken = 0
        self.interlaced = 0
        self.state = file_state(path)
        self._container, self.fallback = open_decoder(path, decoder)
        self._from_device = decoder != CPU and self.fallback is None
        self._shown_px: tuple[float, float] | None = None  # width and height, upright
        self._assumed_per_s: float | None = None
        self._resets = 0
        try:
            with one_file(path, VideoError):
                self._stream: Any = video_stream(self._container)
                self._stream.thread_type = "AUTO"
                self.declared_s = declared_length_s(self._container)
                tags = {**self._stream.metadata, **self._container.metadata}
                self.metadata = {key.lower(): value for key, value in tags.items()}
                self._complete = is_complete(path, self._container)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def indexed(self) -> bool:
        """Whether it can be read from a later time on, again and again; else it is read once from its start."""
        return is_indexed(self._container) or self._container.format.name == _COUNTED

    def _decoded(self) -> Iterator[Any]:
        import av

        for packet in self._container.demux(self._stream):
            self.broken += packet.is_corrupt
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.broken += 1

    def _shown(self, origin_s: float | None = None) -> Iterator[tuple[float, Any]]:
        """Every frame from here on with its time, in presentation order; `origin_s` as `Stamps` takes it."""
        stamps = Stamps(self._container.format.name, origin_s=origin_s)
        fields = Deinterlacer(from_device=self._from_device)
        for frame in self._decoded():
            time_s = self._timed(stamps, frame, damaged=frame.is_corrupt)
            if time_s is not None:
                yield from fields.feed(time_s, frame)
        yield from fields.flush()
        self.interlaced, self._assumed_per_s, self._resets = fields.interlaced, stamps.assumed_per_s, stamps.resets

    def _timed(self, stamps: Stamps, frame: Any, *, damaged: bool) -> float | None:
        """Count a decoded frame; its time, or None for a frame that is not displayed."""
        self.decoded += 1
        time_s = stamps.time_s(frame)
        self.broken += damaged or time_s is None
        if time_s is None:
            return None
        self.end_s = stamps.end_s
        if self.end_s > MOST_S:
            raise VideoError(f"{self.path}: a frame ends at second {self.end_s:.3g}; expected at most ten years: is the file damaged?")
        return time_s

    def _matrix_of(self, frame: Any) -> tuple[int, int, int, int]:
        """The display matrix of a frame, see `display_matrix`."""
        return display_matrix(frame)

    def _shown_from(self, from_s: float) -> Iterator[tuple[float, Any]]:
        """As `_shown`, from a key frame before a time on where the container has an index."""
        stream = self._stream
        origin_s = self._origin_s(from_s)
        if origin_s is None:
            yield from self._shown()
            return
        for target_s in (max(0.0, from_s - _BEFORE_S), 0.0):
            self._container.seek(int((origin_s + target_s) / stream.time_base), stream=stream)
            shown = self._shown(origin_s)
            first = next(shown, None)
            if first is not None and (first[0] <= from_s + 1e-6 or target_s == 0):
                yield first
                yield from shown
                return

    def _origin_s(self, from_s: float) -> float | None:
        """By which times count where decoding begins later; None where nothing can be sought."""
        if self._container.format.name != _COUNTED:
            return first_stamp_s(self._container, self._stream)
        entries = self._stream.index_entries
        if not (has_avi_index(self.path) and len(entries) and entries[-1].timestamp * self._stream.time_base >= from_s):
            return None  # a recorder that was cut off leaves none, and what FFmpeg gathers instead leads astray
        return first_shown_s(self._container, self._stream, "dts")

    def frames(self, *, from_s: float = 0.0) -> Generator[Frame, None, None]:
        """Decode to the end.

        Args:
            from_s: where to begin. In MP4, Matroska and AVI files, which have an index, decoding begins at a key frame before it; other
                files are decoded from their start.

        Yields:
            Frames in presentation order, about `frames_per_s` per second.

        Raises:
            VideoError: no frame could be decoded, or a frame has an impossible time or shape.
        """
        from av.video.reformatter import VideoReformatter

        scaler, finer = VideoReformatter(), VideoReformatter()
        every = Every(self.frames_per_s, from_s=from_s)
        with one_file(self.path, VideoError):
            for time_s, frame in self._shown_from(from_s) if from_s > 0 else self._shown():
                if not every.takes(time_s):
                    continue
                matrix = self._matrix_of(frame)
                image = self._picture(frame, scaler, matrix, self.height_px)
                has_more = min(self.detail_px, self._shown_rows()) > len(image)
                yield Frame(time_s, image, detail=self._picture(frame, finer, matrix, self.detail_px) if has_more else None)
        if self._shown_px is None and not from_s:
            raise VideoError(f"{self.path}: the video stream has no decodable frame; is the file damaged or still empty?")

    def _picture(self, frame: Any, scaler: Any, matrix: tuple[int, int, int, int], height_px: int) -> NDArray[Any]:
        """A frame scaled to a height and turned upright."""
        sideways = is_on_its_side(matrix)
        width, height = self._shown_px = self._shown_px or self._size_of(frame, on_its_side=sideways)
        rows = min(height_px, self._shown_rows())
        size = max(2, round(width * rows / height / 2) * 2), rows
        scaled = scaler.reformat(frame, *(size[::-1] if sideways else size), "bgr24", interpolation="AREA")
        return upright(scaled.to_ndarray(), matrix)

    def _shown_rows(self) -> int:
        return round(self._shown_px[1]) if self._shown_px is not None else 0

    def _size_of(self, frame: Any, *, on_its_side: bool) -> tuple[float, float]:
        """Width and height of what the first frame shows; later ones are scaled to the same, should the stream change its size."""
        pixel = float(self._stream.sample_aspect_ratio or 1)
        shown = frame.width * pixel, float(frame.height)
        width, height = shown[::-1] if on_its_side else shown
        if not (1 / ASPECT <= width / height <= ASPECT and width * height <= PIXELS):
            raise VideoError(
                f"{self.path}: pictures of {frame.width} x {frame.height} pixels, each {pixel:g} times as wide as high; expected"
                f" {PIXELS / 1e6:g} million at most and no side more than {ASPECT} times the other: is the file damaged?"
            )
        return width, height

    def changed(self) -> bool:
        """Whether the file has been written to since it was opened."""
        return file_state(self.path) != self.state

    def damage(self) -> str | None:
        """After the last frame: what was lost or is uncertain, in words, or None."""
        problems = []
        if self.broken:
            problems.append(f"{self.broken} packets or frames were damaged")
        if self._resets:
            problems.append(f"its stamps jump back {self._resets} times: later times are counted on, and may be off")
        if self.changed():
            problems.append("the file was written to while it was read: extract it again when it is complete")
        elif not self._complete:
            problems.append("not complete: still being written, or never closed; what was there is used")
        elif self.declared_s is not None and self.end_s < self.declared_s - RESET_S:
            problems.append(f"ends at {self.end_s:.1f} s of {self.declared_s:.1f} s that it declares")
        if self._assumed_per_s is not None:
            problems.append(f"its frames carry no times: {self._assumed_per_s:g} a second are assumed")
        return "; ".join(problems) or None


def file_state(path: Path) -> tuple[int, int] | None:
    """Size in bytes and modification time in nanoseconds; None if there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
