"""Cutting a part of a video into an MP4: a copy of the encoded stream from a key frame on, or encoded anew to the frame. Pictures only."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.drawing.boxes import Picture
from wsra.runtime.errors import MissingExtraError, OutputError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.limits import PIXELS
from wsra.runtime.video.container import open_container, video_stream
from wsra.runtime.video.frames import Video
from wsra.runtime.video.stamps import first_stamp_s

ENCODER = "libx264"
_TICKS = 90_000  # of the clock of clips that are encoded, per second
_EVERY_PER_S = 1000.0  # more than any camera has: every frame is kept
_BT601 = 5  # as FFmpeg numbers matrices
_COLOURS = {"colorspace": 2, "color_range": 0, "color_primaries": 2, "color_trc": 2}  # and the number that stands for unknown
_LAST_S = 2.0  # for which the last frame of a video may be shown
_BEFORE_S = (1.0, 20.0)  # how much earlier a key frame is sought: once, and again where that led too far


@dataclass(frozen=True)
class Cut:
    """What a clip holds, in seconds of its video.

    Attributes:
        start_s: time of its first frame.
        end_s: end of what was asked for.
    """

    start_s: float
    end_s: float


def can_encode() -> bool:
    """Whether the installed PyAV has an encoder of H.264.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as err:
        raise MissingExtraError("PyAV", "video", "writing clips") from err
    return ENCODER in av.codecs_available


def copy_part(video: Path, target: Path, start_s: float, end_s: float) -> Cut:
    """Copy the stream from the key frame before a time on, without encoding; the pictures stay as the camera encoded them.

    Args:
        video: the video.
        target: an MP4 that is written.
        start_s: in seconds of the video.
        end_s: where the copy ends; frames that others need to be decoded may go on for a few more.

    Raises:
        VideoError: the video cannot be read, has no frame there, or an MP4 cannot hold its stream.
        OutputError: the disk is full.
    """
    import av

    with open_container(video) as source, one_file(video, VideoError):
        stream: Any = video_stream(source)
        origin_s = first_stamp_s(source, stream)
        if origin_s is None:
            raise VideoError(
                f"{video}: {source.format.name} has no index of key frames, so no part of it can be copied; encode the clips with --exact"
            )
        base = stream.time_base
        first, last = (int((origin_s + second) / base) for second in (start_s, end_s))
        packets = _from_key(source, stream, first)
        try:
            with _space_for(target), av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as clip:
                copied: Any = clip.add_stream_from_template(stream, opaque=True)  # without looking for an encoder
                key = next(packets)
                begin = newest = key.pts
                for packet in chain([key], packets):
                    if max(packet.dts, newest) >= last and packet.pts > newest:  # what is shown before the newest frame still belongs here
                        break
                    if packet.pts < begin:  # shown before the key frame, and decoded from what lies before it
                        continue
                    newest = max(newest, packet.pts)
                    packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
                    packet.stream = copied
                    clip.mux(packet)
                else:  # the end of the file; its last frame is shown for a while
                    if (first - newest) * base > _LAST_S:
                        raise VideoError(f"{video}: no frame between second {start_s:.1f} and {end_s:.1f}; is the file damaged or cut off?")
        except (av.FFmpegError, ValueError) as err:
            raise VideoError(
                f"{video}: its {stream.codec_context.name} stream cannot be copied into an MP4 ({err}); encode the clips with --exact"
            ) from err
    return Cut(float(begin * base) - origin_s, end_s)


def _from_key(source: Any, stream: Any, first: int) -> Iterator[Any]:
    """The packets from the last key frame at or before a timestamp on."""
    for before_s in _BEFORE_S:
        source.seek(max(0, first - int(before_s / stream.time_base)), stream=stream)
        held: list[Any] = []
        packets = _dated(packet for packet in source.demux(stream) if packet.pts is not None)
        for packet in packets:
            if packet.is_keyframe and packet.pts <= first:
                held = [packet]
            elif held:
                held.append(packet)
            if (packet.is_keyframe and packet.pts > first) or packet.dts > first:
                break
        if held:
            yield from held
            yield from packets
            return
    raise VideoError(f"{stream.container.name}: no key frame before second {float(first * stream.time_base):.1f} can be found")


def _dated(packets: Iterable[Any]) -> Iterator[Any]:
    """The same packets; the first ones of Matroska have no decoding time and get one before that of the next."""
    waiting: list[Any] = []
    for packet in packets:
        if packet.dts is None:
            waiting.append(packet)
            continue
        for back, earlier in enumerate(reversed(waiting), 1):
            earlier.dts = packet.dts - back * max(1, packet.duration or 1)
        yield from [*waiting, packet]
        waiting = []


@contextmanager
def _space_for(target: Path) -> Iterator[None]:
    """A full disk is the fault of no video."""
    try:
        yield
    except OSError as err:
        if err.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OutputError(f"{target.parent}: the clip cannot be written ({err.strerror}); make room, or choose another place") from err


def encode_part(
    video: Path,
    target: Path,
    start_s: float,
    end_s: float,
    change: Callable[[Picture, float], Picture] | None = None,
    *,
    height_px: int = PIXELS,
) -> Cut:
    """Decode a part and encode it as H.264, from the first frame at or after its start to the last before its end.

    The clip codes colours as the video does, and its last frame lasts as long as in the video, at most to the end of the part.

    Args:
        video: the video.
        target: an MP4 that is written.
        start_s: in seconds of the video.
        end_s: as start_s.
        change: what is done to each picture, given its time; None to leave it.
        height_px: higher pictures are scaled down to this height.

    Raises:
        VideoError: the video cannot be decoded, or has no frame there.
        OutputError: the disk is full.
    """
    import av

    colours = _colours(video)
    with Video(video, height_px=height_px, frames_per_s=_EVERY_PER_S) as read, one_file(video, VideoError):
        frames = read.frames(from_s=start_s)
        first = next(frames, None)
        if first is None or first.time_s >= end_s:
            raise VideoError(f"{video}: no frame between second {start_s:.1f} and {end_s:.1f}; is the file damaged or cut off?")
        height, width = (length // 2 * 2 for length in first.image.shape[:2])
        with _space_for(target), av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as clip:
            stream: Any = clip.add_stream(ENCODER, rate=25, options={"crf": "18", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            encoder = stream.codec_context
            encoder.time_base = Fraction(1, _TICKS)
            for name, value in colours.items():
                setattr(encoder, name, value)
            lasts: dict[int, int] = {}
            wanted = takewhile(lambda frame: frame.time_s < end_s - 1e-6, chain([first], frames))
            for frame, after in pairwise(chain(wanted, [None])):
                assert frame is not None
                until_s = after.time_s if after is not None else min(end_s, read.end_s)
                picture = frame.image if change is None else change(frame.image, frame.time_s)
                rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="bgr24")
                shown: Any = rgb.reformat(format="yuv420p", **_conversion(colours))
                shown.pts, shown.time_base = round((frame.time_s - first.time_s) * _TICKS), Fraction(1, _TICKS)
                lasts[shown.pts] = round((until_s - frame.time_s) * _TICKS)
                clip.mux(_timed(stream.encode(shown), lasts))
            clip.mux(_timed(stream.encode(None), lasts))
    return Cut(first.time_s, end_s)


def _timed(packets: Iterable[Any], lasts: dict[int, int]) -> list[Any]:
    """Packets that last as long as their frames; the encoder takes the frame rate instead."""
    timed = list(packets)
    for packet in timed:
        packet.duration = lasts.pop(packet.pts)
    return timed


def _colours(video: Path) -> dict[str, int]:
    """How a video codes colours: matrix, range, primaries and transfer, as FFmpeg numbers them; what it does not say is left out.

    A matrix that PyAV cannot write (BT.2020 before PyAV 18) is replaced by that of BT.601, in the pictures and in what the clip says.
    """
    with open_container(video) as container:
        source: Any = video_stream(container).codec_context
        found = {name: value for name, unknown in _COLOURS.items() if (value := int(getattr(source, name))) != unknown}
    if "colorspace" in found and found["colorspace"] not in _matrices():
        found["colorspace"] = _BT601
    return found


def _matrices() -> dict[int, Any]:
    """The matrices that PyAV can write by FFmpeg's numbers, of which BT.601 and BT.2020 have two."""
    from av.video.reformatter import Colorspace

    known: dict[int, Any] = {int(one): one for one in Colorspace}
    return known | {second: known[first] for first, second in ((_BT601, 6), (9, 10)) if first in known}


def _conversion(colours: dict[str, int]) -> dict[str, Any]:
    """The arguments with which PyAV converts a picture to the coding of a video."""
    from av.video.reformatter import ColorRange

    full = colours.get("color_range") == ColorRange.JPEG
    matrix = {"dst_colorspace": _matrices()[colours["colorspace"]]} if "colorspace" in colours else {}
    return matrix | ({"dst_color_range": ColorRange.JPEG} if full else {})
