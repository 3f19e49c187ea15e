"""A pipeline of GStreamer that decodes the packets of one video stream and scales its frames: on a Jetson in hardware.

PyGObject (`gi`) and GStreamer come with the system, not with pip, and are loaded only where they were asked for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from wsra.runtime.files.limits import PIXELS

Accept = Callable[[int | None, bool], bool]  # of each decoded frame: its key, and whether it is damaged; False drops it

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]  # Y (H, W), U and V (H / 2, W / 2)

PACKAGES = "apt-get install python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
_FRAMES_AHEAD = 8
_BYTES_AHEAD = 1 << 20  # packets that wait to be decoded
_PULL_NS = 10_000_000
_STALLED_S = 20.0


class UnfitError(Exception):
    """GStreamer cannot decode this video here; the message continues "gstreamer"."""


class PipelineError(Exception):
    """An element failed, or no frame comes."""


class _Codec(NamedTuple):
    """How a codec is decoded: the type of its packets, FFmpeg's filter that gives them start codes, GStreamer's parser and decoders."""

    kind: str
    start_codes: str
    parser: str
    decoders: tuple[str, ...]


_CODECS = {
    "h264": _Codec("video/x-h264", "h264_mp4toannexb", "h264parse", ("avdec_h264", "openh264dec")),
    "hevc": _Codec("video/x-h265", "hevc_mp4toannexb", "h265parse", ("avdec_h265", "libde265dec")),
}
_HARDWARE = ("nvv4l2decoder", "nvvidconv")  # of a Jetson: the decoder, and what scales and copies its frames to the memory of the CPU


class Elements(NamedTuple):
    """The elements that decode a stream here.

    Attributes:
        start_codes: FFmpeg's bitstream filter for the packets.
        decoder: name of the decoder.
        description: of the pipeline, with a place for width and height.
    """

    start_codes: str
    decoder: str
    description: str


def load_gstreamer() -> tuple[Any, Any]:
    """GStreamer's modules `Gst` and `GstVideo`.

    Raises:
        UnfitError: PyGObject or a library of GStreamer is not installed.
    """
    _prefer_libgcc()
    try:
        import gi

        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # noqa: F401  # without GstApp, appsrc and appsink lack their methods
    except (ImportError, ValueError) as err:
        raise UnfitError(
            f"is not installed for this Python ({err}): {PACKAGES}, and run wsra in the system's Python, or in a virtual environment of it"
            " made with --system-site-packages"
        ) from err
    Gst.init(None)
    return Gst, GstVideo


def _prefer_libgcc() -> None:
    """Make C++ exceptions unwind through libgcc whatever GStreamer loads.

    GStreamer depends on libunwind, which exports the same symbols, and PyGObject loads it for the whole process. A library that is loaded
    after it, such as ONNX Runtime or OpenCV, then mixes the two, and its first exception ends the process with a segmentation fault
    (https://github.com/ros2/rclpy/issues/1149). Of two libraries with a symbol the one that was loaded first for the whole process wins.
    """
    with suppress(OSError):  # a system whose compiler does not use it
        ctypes.CDLL("libgcc_s.so.1", ctypes.RTLD_GLOBAL)


def choose_elements(codec: str) -> Elements:
    """The elements for a codec: a Jetson's hardware if it is there, else software.

    Args:
        codec: FFmpeg's name of it.

    Raises:
        UnfitError: GStreamer, or an element that the codec needs, is not installed, or wsra has no pipeline for the codec.
    """
    gst, _ = load_gstreamer()
    chosen = _CODECS.get(codec)
    if chosen is None:
        raise UnfitError(f"is used for {' and '.join(_CODECS)} only, and this video is {codec}")

    def there(name: str) -> bool:
        return gst.ElementFactory.find(name) is not None

    hardware = all(there(name) for name in _HARDWARE)
    decoder = _HARDWARE[0] if hardware else next((name for name in chosen.decoders if there(name)), None)
    needed = ["appsrc", chosen.parser, "appsink", *(() if hardware else ("videoconvert", "videoscale"))]
    missing = [name for name in needed if not there(name)]
    if decoder is None or missing:
        what = ", ".join(missing) or f"a decoder ({' or '.join((_HARDWARE[0], *chosen.decoders))})"
        raise UnfitError(f"lacks {what}: {PACKAGES}")
    scaled = "nvvidconv name=scale" if hardware else "videoconvert name=convert ! videoscale name=scale add-borders=false"
    description = (
        f"appsrc name=source format=time caps={chosen.kind},stream-format=byte-stream,alignment=au ! {chosen.parser} name=parse !"
        f" {decoder} name=decode ! {scaled} ! video/x-raw,format=I420,width={{width}},height={{height}} !"
        f" appsink name=sink sync=false max-buffers={_FRAMES_AHEAD} enable-last-sample=false"
    )
    return Elements(chosen.start_codes, decoder, description)


class Pipeline:
    """Decodes packets and scales those frames that are accepted.

    A context manager: the end of its block stops the pipeline.

    Args (constructor):
        elements: what it is made of.
        size: width and height of the frames that it returns, even numbers.
        accept: called for each decoded frame, in a thread of GStreamer, in presentation order; what it raises ends the decoding.
    """

    def __init__(self, elements: Elements, size: tuple[int, int], accept: Accept) -> None:
        self._gst, self._video = load_gstreamer()
        self._size, self._accept = size, accept
        self._error: BaseException | None = None
        self._moved_s = monotonic()
        self._pipeline = self._gst.parse_launch(elements.description.format(width=size[0], height=size[1]))
        self._source, self._sink = self._named("source"), self._named("sink")
        self._set("scale", "method", "lanczos")  # videoscale: the nearest to the areas by which FFmpeg scales
        self._set("scale", "interpolation-method", 5)  # nvvidconv: the best filter of the Jetson's scaler ("nicest")
        for name in ("convert", "scale"):
            self._set(name, "matrix-mode", "none")  # colours stay as they are, whatever GStreamer assumes for the new size
        self._set("decode", "output-corrupt", False)  # as FFmpeg: nothing before the first key frame
        self._named("parse").get_static_pad("src").add_probe(self._gst.PadProbeType.EVENT_DOWNSTREAM, self._parsed)
        self._named("decode").get_static_pad("src").add_probe(self._gst.PadProbeType.BUFFER, self._decoded)

    def __enter__(self) -> Pipeline:
        self._pipeline.set_state(self._gst.State.PLAYING)
        return self

    def __exit__(self, *_: object) -> None:
        self._pipeline.set_state(self._gst.State.NULL)

    def frames(self, packets: Iterable[tuple[bytes, int | None]]) -> Iterator[Planes]:
        """Decode packets.

        Args:
            packets: in decoding order: H.264 or HEVC with start codes, and the key of the frame in it. Keys are times in microseconds.

        Yields:
            Each accepted frame, in presentation order.

        Raises:
            PipelineError: an element failed, or nothing was decoded for 20 s.
        """
        waiting = iter(packets)
        fed = False
        self._moved_s = monotonic()
        while True:
            while not fed and self._source.get_property("current-level-bytes") < _BYTES_AHEAD:
                packet = next(waiting, None)
                if packet is None:
                    self._source.end_of_stream()
                    fed = True
                    break
                self._push(*packet)
            sample = self._sink.try_pull_sample(_PULL_NS)
            self._check()
            if sample is not None:
                self._moved_s = monotonic()
                yield self._planes(sample)
            elif self._sink.is_eos():
                return

    def interlaced(self) -> bool:
        """Whether the parser or the decoder found fields instead of whole frames; known from the first frame on."""
        for name in ("parse", "decode"):
            caps = self._named(name).get_static_pad("src").get_current_caps()
            found = caps.get_structure(0) if caps is not None else None
            if found is not None and (
                found.get_string("coded-picture-structure") == "field" or found.get_string("interlace-mode") not in (None, "progressive")
            ):
                return True
        return False

    def _named(self, name: str) -> Any:
        return self._pipeline.get_by_name(name)

    def _set(self, name: str, option: str, value: object) -> None:
        """Set an option of an element where it has that."""
        element = self._named(name)
        if element is not None and element.find_property(option) is not None:
            self._gst.util_set_object_arg(element, option, str(value))

    def _push(self, content: bytes, key: int | None) -> None:
        buffer = self._gst.Buffer.new_wrapped(content)
        buffer.pts = self._gst.CLOCK_TIME_NONE if key is None else key * 1000
        self._source.push_buffer(buffer)

    def _key(self, pts: int) -> int | None:
        return None if pts == self._gst.CLOCK_TIME_NONE else round(pts / 1000)

    def _parsed(self, _pad: Any, info: Any) -> Any:
        """Called for each event before the decoder: a new size is one. Pictures that are too large do not reach the decoder."""
        event = info.get_event()
        found = event.parse_caps().get_structure(0) if event.type == self._gst.EventType.CAPS else None
        if found is not None:
            width, height = (found.get_value(name) or 0 for name in ("width", "height"))
            if width * height > PIXELS:
                self._error = PipelineError(f"pictures of {width} x {height} pixels; expected {PIXELS / 1e6:g} million at most")
                return self._gst.PadProbeReturn.DROP
        return self._gst.PadProbeReturn.OK

    def _decoded(self, _pad: Any, info: Any) -> Any:
        """Called for each decoded frame before it is scaled."""
        buffer, self._moved_s = info.get_buffer(), monotonic()
        try:
            takes = self._error is None and self._accept(self._key(buffer.pts), buffer.has_flags(self._gst.BufferFlags.CORRUPTED))
        except BaseException as err:
            self._error, takes = err, False
        return self._gst.PadProbeReturn.OK if takes else self._gst.PadProbeReturn.DROP

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            raise PipelineError(f"{message.src.get_name()}: {message.parse_error()[0].message}")
        if monotonic() - self._moved_s > _STALLED_S:
            raise PipelineError(f"no frame for {_STALLED_S:g} s; on a Jetson the decoder needs the program lsmod (package kmod)")

    def _planes(self, sample: Any) -> Planes:
        """The planes of a frame without the padding of their rows."""
        width, height = self._size
        info = self._video.VideoInfo.new_from_caps(sample.get_caps())
        buffer = sample.get_buffer()
        mapped, content = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise PipelineError("a frame cannot be read from the memory of the device")
        try:
            whole = np.frombuffer(content.data, np.uint8)
            shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
            places = zip(shapes, info.stride, info.offset, strict=False)
            y, u, v = (np.array(as_strided(whole[offset:], shape, (stride, 1))) for shape, stride, offset in places)
            return y, u, v
        finally:
            buffer.unmap(content)
