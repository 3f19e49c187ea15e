"""A decoder of the hardware, where PyAV offers one and it really gives a frame; otherwise the CPU, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.video.container import open_container, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer

CPU = "cpu"


def open_decoder(path: Path, decoder: str) -> tuple[InputContainer, str | None]:
    """Open a video for a decoder; a decoder of the hardware must give the first frame before it is trusted with the file.

    Args:
        path: the video.
        decoder: "cpu", or a device type of FFmpeg such as "cuda", "qsv", "vaapi" or "videotoolbox".

    Returns:
        The container, at its start, and why the CPU decodes instead, or None.

    Raises:
        VideoError, MissingExtraError: as `open_container`.
    """
    plain = open_container(path)
    if decoder == CPU:
        return plain, None
    why = _why_not(path, decoder)
    if why is not None:
        return plain, f"decoded on the CPU: {decoder} {why}"
    plain.close()
    return open_container(path, hwaccel=_accelerator(decoder)), None


def _why_not(path: Path, decoder: str) -> str | None:
    """Why a decoder of the hardware cannot be used for this file, found by decoding one frame; None when it can."""
    from av.codec.hwaccel import hwdevices_available

    if decoder not in hwdevices_available():
        return f"is not in this build of PyAV (it has {', '.join(hwdevices_available()) or 'none'})"
    try:
        with open_container(path, hwaccel=_accelerator(decoder)) as container:
            next(container.decode(video_stream(container))).to_ndarray(format="bgr24")
    except StopIteration:
        return "gives no frame"
    except Exception as err:  # drivers raise what they like
        return f"gives no frame ({str(err).strip() or type(err).__name__})"
    return None


def _accelerator(decoder: str) -> object:
    from av.codec.hwaccel import HWAccel

    return HWAccel(decoder, allow_software_fallback=False)
