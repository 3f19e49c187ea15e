"""A video whose frames GStreamer decodes and scales; PyAV still opens the file, reads its packets, and knows times and orientation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsra.runtime.errors import VideoError
from wsra.runtime.video.container import open_container, video_stream
from wsra.runtime.video.frames import Every, Reading, Video
from wsra.runtime.video.pictures import display_matrix, is_on_its_side
from wsra.runtime.video.pipeline import Pipeline, PipelineError, Planes, UnfitError, choose_elements
from wsra.runtime.video.stamps import Stamps

GSTREAMER = "gstreamer"
_FINER = 2  # GStreamer leaves this many times the rows that are wanted, so that chroma of half the rows loses nothing
_START_US = 10_000_000  # times of GStreamer are not negative; some files begin a little before 0
_STEP_US = 40_000
_INTERLACED = "does not deinterlace, and this video is interlaced"


class _Stamp(NamedTuple):
    """What `Stamps` needs of a frame; in ticks of `time_base`."""

    pts: int | None
    dts: int | None
    duration: int | None
    time_base: Fraction


class GstreamerVideo(Video):
    """As `Video`, decoded by GStreamer.

    Times are those of the packets, exactly. GStreamer decodes every frame and scales only those that are used, to twice the rows that are
    wanted at most; FFmpeg's library scales the rest and converts the colours, as for `Video`.

    Args (constructor):
        path: the file.
        reading: how it is read.

    Raises (constructor):
        VideoError: see `open_container`.
        UnfitError: GStreamer cannot decode it here, or would show it differently: it is interlaced, its frames carry no times, or its
            pictures are not in 4:2:0.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(path, **reading._asdict())
        try:
            if self._container.format.name == "avi":
                raise UnfitError("needs presentation times, which AVI does not have")
            self._elements = choose_elements(self._stream.codec_context.name)
            self._first = _first_frame(path)
            self._matrix = display_matrix(self._first)
            self._shown_px = self._size_of(self._first, on_its_side=is_on_its_side(self._matrix))
            self._carrier = self._made_carrier()
        except BaseException:
            self._container.close()
            raise

    @property
    def decoder(self) -> str:
        """The element that decodes."""
        return self._elements.decoder

    def _matrix_of(self, frame: Any) -> tuple[int, int, int, int]:
        return self._matrix  # of the file: GStreamer passes none on

    def _shown(self, origin_s: float | None = None) -> Iterator[tuple[float, Any]]:
        stamps, every = Stamps(self._container.format.name, origin_s=origin_s), Every(self.frames_per_s)
        packets = _Packets(self._packets())
        times: deque[float] = deque()  # of the frames that are being scaled

        def accept(key: int | None, damaged: bool) -> bool:
            stamp = packets.stamp(key)
            if stamp is None:
                return False
            time_s = self._timed(stamps, stamp, damaged=damaged)
            if time_s is None or not every.takes(time_s):
                return False
            times.append(time_s)
            return True

        try:
            with Pipeline(self._elements, self._scaled_px(), accept) as pipeline:
                for planes in pipeline.frames(packets):
                    if pipeline.interlaced():
                        raise UnfitError(_INTERLACED)
                    yield times.popleft(), self._frame(planes)
        except (PipelineError, UnfitError) as err:
            raise VideoError(f"{self.path}: GStreamer stopped after {self.end_s:.1f} s ({err}); use --decoder cpu") from err
        self._assumed_per_s, self._resets = stamps.assumed_per_s, stamps.resets

    def _packets(self) -> Iterator[Any]:
        """The packets from here on, with start codes instead of lengths."""
        from av.bitstream import BitStreamFilterContext

        with_start_codes = BitStreamFilterContext(self._elements.start_codes, self._stream)
        for packet in self._container.demux(self._stream):
            self.broken += packet.is_corrupt
            if packet.size:  # the last one is empty
                yield from with_start_codes.filter(packet)

    def _made_carrier(self) -> Any:
        width, height = self._scaled_px()
        name = self._first.format.name
        carrier = self._first.reformat(width, height, name if name == "yuvj420p" else "yuv420p")
        carrier.make_writable()
        carrier.colorspace, carrier.color_range = self._first.colorspace, self._first.color_range
        return carrier

    def _scaled_px(self) -> tuple[int, int]:
        """Width and height to which GStreamer scales, as the picture lies in the file."""
        share = min(1.0, _FINER * max(self.height_px, self.detail_px) / self._shown_rows())
        width, height = (max(2, round(side * share / 2) * 2) for side in (self._first.width, self._first.height))
        return width, height

    def _frame(self, planes: Planes) -> Any:
        """The frame that carries each picture in turn; the places of its colours, which PyAV cannot set, are those of the first frame."""
        for plane, picture in zip(self._carrier.planes, planes, strict=True):
            np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: len(picture), : picture.shape[1]] = picture
        return self._carrier


class _Packets:
    """The packets of a video with a key each, and the stamp of each key.

    A key is the presentation time in microseconds. Where timestamps jump back, keys count on: GStreamer changes times that decrease.
    """

    def __init__(self, packets: Iterator[Any]) -> None:
        self._packets = packets
        self._stamps: dict[int, _Stamp | None] = {}

    def stamp(self, key: int | None) -> _Stamp | None:
        """The stamp of a decoded frame, once; None for a frame that is not shown."""
        found = next((key + near for near in (0, -1, 1) if key + near in self._stamps), None) if key is not None else None
        return _Stamp(None, None, None, Fraction(1)) if found is None else self._stamps.pop(found)

    def __iter__(self) -> Iterator[tuple[bytes, int | None]]:
        offset_us, last_us, latest_us = _START_US, 0, 0  # last: of the previous packet, decoded; latest: of any so far, shown
        for packet in self._packets:
            base = packet.time_base
            if packet.dts is not None:
                decoded_us = round(packet.dts * base * 1_000_000)
                if decoded_us + offset_us < last_us:
                    offset_us = max(last_us, latest_us) + _STEP_US - decoded_us
                last_us = decoded_us + offset_us
            key = None if packet.pts is None else round(packet.pts * base * 1_000_000) + offset_us
            if key is not None:
                latest_us = max(latest_us, key)
                self._stamps[key] = None if packet.is_discard else _Stamp(packet.pts, packet.dts, packet.duration, base)
            yield bytes(packet), key


def why_not(path: Path, reading: Reading) -> str | None:
    """Why GStreamer cannot be used for a video, found by decoding one frame; None if it can.

    Raises:
        VideoError: the video cannot be opened.
        MissingExtraError: PyAV is not installed.
    """
    try:
        with GstreamerVideo(path, reading) as video, closing(video.frames()) as frames:
            next(frames)
    except UnfitError as err:
        return str(err)
    except VideoError as err:
        return str(err.__cause__) if isinstance(err.__cause__, UnfitError) else f"gives no frame ({err.__cause__ or err})"
    return None


def _first_frame(path: Path) -> Any:
    """The first frame as PyAV decodes it: size, orientation and colours.

    Raises:
        UnfitError: it is interlaced, has no time, or is not in 4:2:0; or there is none.
    """
    import av

    with open_container(path) as container:
        try:
            frame = next(container.decode(video_stream(container)))
        except (StopIteration, av.FFmpegError) as err:
            raise UnfitError("gives no frame") from err
    if frame.interlaced_frame:
        raise UnfitError(_INTERLACED)
    if frame.pts is None:
        raise UnfitError("needs presentation times, which this video does not have")
    if not frame.format.name.startswith(("yuv420p", "yuvj420p")):
        raise UnfitError(f"is used for pictures in 4:2:0 only, and this video is in {frame.format.name}")
    return frame
