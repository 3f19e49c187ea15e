"""Decoded pictures as they must be displayed: deinterlaced and upright."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_UPRIGHT = (65536, 0, 0, 65536)
_FIELDS = "yuv420p"  # interlaced video has eight bits and 4:2:0


class Deinterlacer:
    """FFmpeg's bwdif for frames flagged as interlaced, with the field order of each; other frames pass unchanged.

    Frames come out in order with their times, one frame late from the first interlaced frame on. `interlaced` counts the interlaced frames.

    Args (constructor):
        from_device: whether frames are in the memory of a hardware decoder; those that bwdif gets are copied to that of the CPU.
    """

    def __init__(self, *, from_device: bool = False) -> None:
        self.interlaced = 0
        self._from_device = from_device
        self._graph: Any = None
        self._sink: Any = None
        self._shape: tuple[int, int, str] | None = None
        self._waiting: deque[float] = deque()

    def feed(self, time_s: float, frame: Any) -> Iterator[tuple[float, Any]]:
        """Add a frame with its time; yield the frames that are ready."""
        self.interlaced += bool(frame.interlaced_frame)
        if self._from_device and (frame.interlaced_frame or self._graph is not None):
            frame = frame.reformat(format=_FIELDS)
        shape = frame.width, frame.height, frame.format.name
        if self._graph is not None and shape != self._shape:
            yield from self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield time_s, frame
                return
            self._build(frame, shape)
        self._waiting.append(time_s)
        self._graph.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[tuple[float, Any]]:
        """Yield the frames that are still waiting."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
            self._graph = None
            self._waiting.clear()

    def _build(self, frame: Any, shape: tuple[int, int, str]) -> None:
        from av.filter import Graph

        graph = Graph()
        width, height, _ = shape
        source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=frame.time_base)
        fields = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = graph.add("buffersink")
        source.link_to(fields)
        fields.link_to(sink)
        graph.configure()
        self._graph, self._sink, self._shape = graph, sink, shape

    def _ready(self) -> Iterator[tuple[float, Any]]:
        import av

        while self._waiting:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield self._waiting.popleft(), frame


def display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """The rotation (a, b, c, d) of a frame's display matrix: x' = ax + cy, y' = bx + dy, y downward, in 1/65536."""
    side = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if side is None:
        return _UPRIGHT
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5]
    return int(a), int(b), int(c), int(d)


def is_on_its_side(matrix: tuple[int, int, int, int]) -> bool:
    """Whether the picture is displayed with rows and columns exchanged."""
    a, b, _, _ = matrix
    return abs(b) > abs(a)


def upright(image: NDArray[Any], matrix: tuple[int, int, int, int]) -> NDArray[Any]:
    """Rotate and mirror a picture to the nearest quarter turn, according to its display matrix.

    Args:
        image: (H, W, 3).
        matrix: result of `display_matrix`.

    Returns:
        (H, W, 3), or (W, H, 3) if it was on its side.
    """
    a, b, c, d = matrix
    if is_on_its_side(matrix):
        image, rightward, downward = image.transpose(1, 0, 2), c, b
    else:
        rightward, downward = a, d
    image = image[:, ::-1] if rightward < 0 else image
    image = image[::-1] if downward < 0 else image
    return np.ascontiguousarray(image)
