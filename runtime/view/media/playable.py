"""Whether a browser plays a video as it is, and what the page must know of it: its length and the size of its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from wsra.runtime.errors import VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.limits import PIXELS
from wsra.runtime.video.container import open_container, video_stream
from wsra.runtime.video.frames import Video, file_state
from wsra.runtime.video.stamps import first_stamp_s, is_indexed

_EIGHT_BIT = ("yuv420p", "yuvj420p")
_IN_MP4 = ("h264", "vp9", "av1")
_IN_WEBM = ("vp8", "vp9", "av1")
_LATE_S = 0.05  # a first frame later than that on the clock of the file would show every moment late
_NAMES = {"h264": "H.264", "hevc": "HEVC", "mpeg4": "MPEG-4 Part 2", "mjpeg": "Motion JPEG", "mpeg2video": "MPEG-2", "av1": "AV1"}


@dataclass(frozen=True)
class Playable:
    """What a browser can do with a video.

    Attributes:
        why: why it does not play the file itself, in a sentence; empty where it does.
        copied: whether an excerpt can be a copy of the encoded stream.
        duration_s: as the file declares it; None where it does not.
        width: of the upright picture with square pixels.
        height: as width.
    """

    why: str
    copied: bool
    duration_s: float | None
    width: int
    height: int


def playable(video: Path) -> Playable:
    """Look at a video; one that has not changed since is not opened again.

    Raises:
        VideoError: it cannot be opened, or has no frame that can be decoded.
        MissingExtraError: PyAV is not installed.
    """
    seen = _known(video, file_state(video))
    if isinstance(seen, str):
        raise VideoError(seen)
    return seen


@lru_cache(maxsize=4096)
def _known(video: Path, state: tuple[int, int] | None) -> Playable | str:
    """What is known of a video in that state; why it cannot be used, which may take long to find out, is remembered as well."""
    try:
        return _looked_at(video)
    except VideoError as err:
        return str(err)


def _looked_at(video: Path) -> Playable:
    with Video(video, height_px=PIXELS, frames_per_s=1.0) as read:
        first = next(read.frames(), None)
        if first is None:
            raise VideoError(f"{video}: the video stream has no decodable frame; is the file damaged or still empty?")
        duration_s = read.declared_s
    height, width = first.image.shape[:2]
    with open_container(video) as container, one_file(video, VideoError):
        stream: Any = video_stream(container)
        codec = stream.codec_context
        copied = codec.name == "h264" and codec.pix_fmt in _EIGHT_BIT and is_indexed(container)
        why = _why_not(video, container, codec.codec.canonical_name, codec.pix_fmt) or _late(first_stamp_s(container, stream))
    return Playable(why, copied, duration_s, width, height)


def _why_not(video: Path, container: Any, codec: str, pixels: str | None) -> str:
    name = _NAMES.get(codec, codec.upper())
    kind = _kind_of(video, container.format.name)
    if kind is None:
        return f"Browsers do not open {video.suffix.lstrip('.').upper() or container.format.name} files."
    codecs = {"MP4": _IN_MP4, "WebM": _IN_WEBM}[kind]
    if codec not in codecs:
        return f"Not every browser plays {name} in {kind}."
    if pixels not in _EIGHT_BIT:
        return f"Not every browser plays {name} with pixels of the kind {pixels}."
    return ""


def _late(first_s: float | None) -> str:
    if first_s is not None and abs(first_s) > _LATE_S:
        return f"Its clock begins at second {first_s:.2f}, where a browser would show every moment at another time."
    return ""


def _kind_of(video: Path, demuxer: str) -> str | None:
    """MP4 or WebM; None of what browsers do not open, such as QuickTime and Matroska, which FFmpeg reads with the same demuxers."""
    with video.open("rb") as file:
        head = file.read(4096)
    if demuxer.startswith("mov"):
        return "MP4" if head[4:8] == b"ftyp" and head[8:12] != b"qt  " else None
    if demuxer.startswith("matroska"):
        return "WebM" if b"\x42\x82\x84webm" in head else None
    return None
