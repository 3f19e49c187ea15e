"""Opening a video file with PyAV; what cannot be opened is said in one line. Decodes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsra.runtime.errors import MissingExtraError, VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


def open_container(path: Path, **options: Any) -> InputContainer:
    """Open a video.

    Args:
        path: the file.
        options: further arguments of `av.open`.

    Raises:
        VideoError: the file is missing, empty, without a video stream or no video, or its name is not UTF-8.
        MissingExtraError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as err:
        raise MissingExtraError("PyAV", "video", f"decoding {path}") from err
    if path.is_dir():
        raise VideoError(f"{path}: a folder; expected a video: give the files in it, such as {path / '*.mp4'}")
    if not path.is_file():
        raise VideoError(f"{path}: no such file; expected a video")
    if not _is_utf8(path.name):
        raise VideoError(f"{path}: its name is not UTF-8, so no feature file can carry it; rename the video")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); expected a video")
    try:
        container: InputContainer = av.open(f"file:{path}", **options)  # else FFmpeg takes what stands before a colon for a protocol
    except (av.FFmpegError, ValueError) as err:
        if _lacks_index(path):
            raise VideoError(
                f"{path}: an MP4 without its index (no moov box): still being written, or cut off; wait until the recorder closes it,"
                " or let it record MKV, TS or fragmented MP4"
            ) from err
        raise VideoError(f"{path}: not a video that FFmpeg can open ({err})") from err
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        container.close()
        raise VideoError(f"{path}: no video stream (found: {kinds}); expected a video")
    return container


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream with the largest picture, the first of equals, as the `ffmpeg` program chooses; a cover picture comes last."""
    from av.stream import Disposition

    def worth(stream: VideoStream) -> tuple[bool, int]:
        return Disposition.attached_pic not in stream.disposition, stream.width * stream.height

    return max(container.streams.video, key=worth)


def declared_length_s(container: InputContainer) -> float | None:
    """Seconds that the video stream declares, or the whole file, or None."""
    stream = video_stream(container)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    from_zero = container.format.name.startswith("matroska")  # its length counts from 0, also where the first frame is later
    return (container.duration - (max(container.start_time or 0, 0) if from_zero else 0)) / 1e6


def is_complete(path: Path, container: InputContainer) -> bool:
    """False for a Matroska file without a length and an MP4 that ends within a box: its writer has not ended, or was stopped."""
    if container.format.name.startswith("matroska"):
        return bool(container.duration)
    if container.format.name.startswith("mov"):
        return max((end for _, end in _boxes(path)), default=0) == path.stat().st_size
    return True


def _lacks_index(path: Path) -> bool:
    """Whether this is an MP4 or QuickTime file without a `moov` box."""
    kinds = [kind for kind, _ in _boxes(path)]
    return bool(kinds) and kinds[0] in (b"ftyp", b"mdat", b"wide", b"free") and b"moov" not in kinds


def _boxes(path: Path) -> Iterator[tuple[bytes, int]]:
    """Kind and end (bytes) of each outermost box of an MP4; ends where there is none."""
    size, start = path.stat().st_size, 0
    with path.open("rb") as file:
        while start + 8 <= size:
            file.seek(start)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            start = size if length == 0 else start + length  # 0: to the end of the file
            yield head[4:8], start
            if 0 < length < 8:
                return
