"""Opening a video with the decoder that was asked for."""

from __future__ import annotations

from pathlib import Path

from wsra.runtime.video.frames import Reading, Video
from wsra.runtime.video.gstreamer import GSTREAMER, GstreamerVideo, why_not
from wsra.runtime.video.hardware import CPU


def open_video(path: Path, reading: Reading, *, decoder: str = CPU) -> Video:
    """Open a video.

    Args:
        path: the file.
        reading: how it is read.
        decoder: "cpu", "gstreamer", or a device type of FFmpeg such as "cuda". A decoder other than "cpu" must return the first frame;
            otherwise the CPU decodes, and `Video.fallback` says why.

    Raises:
        VideoError: see `open_container`.
        MissingExtraError: PyAV is not installed.
    """
    if decoder != GSTREAMER:
        return Video(path, **reading._asdict(), decoder=decoder)
    reason = why_not(path, reading)
    if reason is None:
        return GstreamerVideo(path, reading)
    video = Video(path, **reading._asdict())
    video.fallback = f"decoded on the CPU: {GSTREAMER} {reason}"
    return video
