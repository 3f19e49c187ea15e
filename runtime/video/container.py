"""Opening a video file with PyAV, and no other file; errors are one line. Nothing is decoded here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsra.runtime.errors import MissingExtraError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.limits import PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Demuxers of FFmpeg that read one file and nothing else. Scripts and playlists (concat, hls, dash, sdp, imf, ...), which name other files
# or hosts, and image patterns are left out; FFmpeg would detect them by content, whatever the name of the file.
_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "asf_o", "flv", "live_flv", "dhav", "kux", "mxf", "ogg", "nut"),
    *("rm", "wtv", "dv", "gxf", "lxf", "ivf", "obu", "av1", "h261", "h263", "h264", "hevc", "vvc", "m4v", "mjpeg", "mpjpeg", "ingenient"),
    *("vc1", "vc1test", "dirac", "cavsvideo", "avs2", "avs3", "evc", "apv", "gif", "apng", "yuv4mpegpipe", "smjpeg", "ipmovie", "pva"),
    *("nsv", "ty", "mtv", "mlv", "cine", "hxvs", "lmlm4", "svs", "simbiosis_imx", "swf", "mgsts", "ser"),
)
_MOST_CHUNKS = 1000  # of an AVI that are looked at; a writer makes five
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}


def open_container(path: Path, **options: Any) -> InputContainer:
    """Open a video.

    Args:
        path: the file.
        options: further arguments of `av.open`.

    Raises:
        VideoError: the file is missing, empty, not a regular file, not a video or without a video stream that can be decoded; its pictures
            are too large; or its name is not UTF-8.
        MissingExtraError: PyAV is not installed.
    """
    with one_file(path, VideoError):
        return _opened(path, options)


def _opened(path: Path, options: dict[str, Any]) -> InputContainer:
    try:
        import av
    except ImportError as err:
        raise MissingExtraError("PyAV", "video", f"decoding {path}") from err
    _check_file(path)
    try:  # without "file:" FFmpeg takes what precedes a colon for a protocol; `options`, even of streams, crash PyAV 17 on FLV
        container: InputContainer = av.open(f"file:{path}", container_options=_OPTIONS, metadata_errors="replace", **options)
    except PermissionError as err:
        raise VideoError(f"{path}: cannot be read (permission denied); allow this user to read it") from err
    except (av.FFmpegError, ValueError) as err:
        if _lacks_index(path):
            raise VideoError(
                f"{path}: an MP4 without its index (no moov box): still being written, or cut off; wait until the recorder closes it,"
                " or let it record MKV, TS or fragmented MP4"
            ) from err
        raise VideoError(
            f"{path}: not a video that FFmpeg can open ({err}); expected MP4, MKV, AVI, TS or another file that contains the video itself,"
            " not a playlist or script"
        ) from err
    try:
        _check_streams(path, container)
    except BaseException:
        container.close()
        raise
    return container


def _check_file(path: Path) -> None:
    if not _is_utf8(path.name):
        raise VideoError(f"{path}: its name is not UTF-8, so a feature file cannot store it; rename the video")
    if path.is_dir():
        raise VideoError(f"{path}: a folder; expected a video: give the files in it, such as {path / '*.mp4'}")
    if not path.exists():
        raise VideoError(f"{path}: no such file; expected a video")
    if not path.is_file():
        raise VideoError(f"{path}: a pipe, device or socket; expected a video in a regular file: record it first")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); expected a video")


def _check_streams(path: Path, container: InputContainer) -> None:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise VideoError(f"{path}: no video stream (found: {kinds}); expected a video")
    if not _decodable(container):
        raise VideoError(f"{path}: FFmpeg cannot decode its codec here; convert it to H.264 first")
    stream = video_stream(container)
    if stream.width * stream.height > PIXELS:
        raise VideoError(
            f"{path}: pictures of {stream.width} x {stream.height} pixels; expected {PIXELS / 1e6:g} million at most: is the file damaged?"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream with the largest picture, or the first such stream, as the `ffmpeg` program chooses; cover pictures come last.

    Its decoder refuses pictures of more than `PIXELS`, even if they become that large later in the stream.
    """
    from av.stream import Disposition

    def rank(stream: VideoStream) -> tuple[bool, int]:
        return Disposition.attached_pic not in stream.disposition, stream.width * stream.height

    stream = max(_decodable(container), key=rank)
    stream.codec_context.options = {"max_pixels": str(PIXELS)}
    return stream


def _decodable(container: InputContainer) -> list[VideoStream]:
    """Video streams whose codec FFmpeg knows; PyAV reports neither codec nor size of others."""
    return [stream for stream in container.streams.video if stream.codec_context is not None]


def declared_length_s(container: InputContainer) -> float | None:
    """The duration in seconds that the video stream declares, else that of the file, else None."""
    stream = video_stream(container)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    from_zero = container.format.name.startswith("matroska")  # its length counts from 0, even if the first frame is later
    return (container.duration - (max(container.start_time or 0, 0) if from_zero else 0)) / 1e6


def is_complete(path: Path, container: InputContainer) -> bool:
    """False for a Matroska file without a length and an MP4 that ends within a box: its writer is still running, or was stopped."""
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
    """Kind and end (bytes) of each top-level box of an MP4, up to the first invalid one."""
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


def has_avi_index(path: Path) -> bool:
    """Whether an AVI has the index that its writer adds at the end: behind the frames of its first part."""
    with path.open("rb") as file:
        start = 12  # behind "RIFF", its length and "AVI "
        for _ in range(_MOST_CHUNKS):
            file.seek(start)
            head = file.read(8)
            if len(head) < 8 or head[:4] == b"idx1":
                return len(head) == 8
            start += 8 + (length := int.from_bytes(head[4:], "little")) + length % 2
    return False
