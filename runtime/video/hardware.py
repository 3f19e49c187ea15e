"""A hardware decoder, if PyAV has one and it really returns a frame; otherwise the CPU, with the reason.

Its frames stay in the memory of the device: PyAV copies a frame to the memory of the CPU when it is scaled or converted, and only then. Of
25 frames a second those few travel that a backbone looks at.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.video.container import open_container, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer

CPU = "cpu"


def open_decoder(path: Path, decoder: str) -> tuple[InputContainer, str | None]:
    """Open a video for a decoder; a hardware decoder must return the first frame before it is used for the file.

    Args:
        path: the video.
        decoder: "cpu", or a device type of FFmpeg such as "cuda", "qsv", "vaapi" or "videotoolbox", with the device after a colon if it is
            not the first: "cuda:1", "vaapi:/dev/dri/renderD129".

    Returns:
        The container, at its start, and why the CPU decodes instead (None if it does not).

    Raises:
        VideoError, MissingExtraError: see `open_container`.
    """
    plain = open_container(path)
    if decoder == CPU:
        return plain, None
    reason = _why_not(path, decoder)
    if reason is not None:
        return plain, f"decoded on the CPU: {decoder} {reason}"
    plain.close()
    return open_container(path, hwaccel=_accelerator(decoder)), None


def _why_not(path: Path, decoder: str) -> str | None:
    """Why a hardware decoder cannot be used for this file, found by decoding one frame; None if it can."""
    from av.codec.hwaccel import hwdevices_available

    if decoder.partition(":")[0] not in hwdevices_available():
        return f"is not in this build of PyAV (it has {', '.join(hwdevices_available()) or 'none'})"
    try:
        with open_container(path, hwaccel=_accelerator(decoder)) as container:
            next(container.decode(video_stream(container))).to_ndarray(format="bgr24")
    except StopIteration:
        return "gives no frame"
    except Exception as err:  # drivers may raise anything
        cause = err.__cause__ or err  # the file was opened without the decoder, so what names the file is not the reason
        return f"gives no frame ({str(cause).strip() or type(cause).__name__})"
    return None


def _accelerator(decoder: str) -> object:
    from av.codec.hwaccel import HWAccel

    kind, _, device = decoder.partition(":")
    return HWAccel(kind, device=device or None, allow_software_fallback=False, is_hw_owned=True)
