"""Which decoders really work: a few frames are encoded in memory, and the decoder must return one with the same brightness."""

from __future__ import annotations

import io
import os
from typing import Literal

import numpy as np

from wsra.runtime.doctor.checks import Check, State

# Codec -> its software encoders, best first. Hardware encoders are not tried: they fail for reasons of their own.
ENCODERS = {
    "h264": ("libx264", "libopenh264"),
    "hevc": ("libx265",),
    "mpeg4": ("mpeg4",),
    "mjpeg": ("mjpeg",),
    "vp9": ("libvpx-vp9",),
    "av1": ("libsvtav1", "libaom-av1"),
}
_NEEDED = ("h264", "hevc")  # what cameras write
_SIZE_PX, _FRAMES, _GREY, _NEAR = (128, 96), 4, 170, 8


def decoder_checks() -> list[Check]:
    """One check for each codec, or a single one if PyAV does not load."""
    try:
        import av  # noqa: F401
    except Exception as err:  # a build for another system may raise anything
        return [Check("decoders", "trouble", f"PyAV does not load ({err})", "to extract videos: pip install 'wsra[video]'")]
    return [_check(codec) for codec in ENCODERS]


def _check(codec: str) -> Check:
    name = f"decoder {codec}"
    bad: State = "trouble" if codec in _NEEDED else "note"
    fix = "pip install --force-reinstall av, or convert such videos to H.264"
    untried = "try wsra extract on a video of this kind"
    if not _exists(codec, "r"):
        return Check(name, bad, "PyAV was built without it", fix)
    encoder = next((encoder for encoder in ENCODERS[codec] if _exists(encoder, "w")), None)
    if encoder is None:
        return Check(name, "note", "present, but untested: PyAV was built without an encoder", untried)
    try:
        content = _encode(codec, encoder)
    except Exception as err:  # a failing encoder proves nothing about the decoder
        return Check(name, "note", f"present, but untested: {encoder} fails ({str(err) or type(err).__name__})", untried)
    try:
        used, grey = _decode(content)
    except Exception as err:  # whatever it raises, it returned no frame
        return Check(name, bad, f"present, but returns no frame ({str(err) or type(err).__name__})", fix)
    if abs(grey - _GREY) > _NEAR:
        return Check(name, bad, f"{used} returns a wrong frame: grey {grey:.0f}, not {_GREY}", fix)
    return Check(name, "ok", f"{used} decoded a frame of {encoder}")


def _exists(codec: str, mode: Literal["r", "w"]) -> bool:
    from av.codec import Codec

    try:
        Codec(codec, mode)
    except ValueError:
        return False
    return True


def _encode(codec: str, encoder: str, grey: int = _GREY) -> bytes:
    """A Matroska file of a few grey frames, which is opened like any other video."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # else SVT-AV1 writes its settings to stderr
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(encoder, rate=25, options={"x265-params": "log-level=none"} if codec == "hevc" else {})
        stream.width, stream.height = _SIZE_PX
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        image = np.full((_SIZE_PX[1], _SIZE_PX[0], 3), grey, np.uint8)
        for _ in range(_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _decode(content: bytes) -> tuple[str, float]:
    """The decoder that FFmpeg chose and the mean grey of the first frame."""
    import av

    with av.open(io.BytesIO(content)) as container:
        frame = next(container.decode(video=0))
        return container.streams.video[0].codec_context.name, float(frame.to_ndarray(format="gray").mean())
