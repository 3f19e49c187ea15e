"""Real video files made by PyAV: frame k is grey 40 + 4k with a white upper left corner, shown at a time that the test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

STEADY_MS = tuple(range(0, 2000, 40))
SIZE_PX = (160, 96)
Picture = Callable[[int], np.ndarray]


def grey(number: int, size: tuple[int, int] = SIZE_PX) -> np.ndarray:
    image = np.full((size[1], size[0], 3), 40 + 4 * number, np.uint8)
    image[: size[1] // 4, : size[0] // 4] = 255
    return image


def level(image: np.ndarray) -> float:
    """Grey of the middle, which tells the number of the frame."""
    height, width = image.shape[:2]
    return float(image[height // 3 : -height // 3, width // 3 : -width // 3].mean())


def numbered(number: int) -> np.ndarray:
    """A picture that shows its number as twelve dark or light bars, lowest bit left, in the middle rows."""
    image = np.full((SIZE_PX[1], SIZE_PX[0], 3), 60, np.uint8)
    for bit in range(12):
        image[40:60, bit * 13 : bit * 13 + 12] = 255 * (number >> bit & 1)
    return image


def number_in(image: np.ndarray) -> int:
    """The number that a picture of `numbered` shows."""
    return sum(1 << bit for bit in range(12) if image[45:55, bit * 13 + 3 : bit * 13 + 9].mean() > 128)


@dataclass
class Film:
    """What to encode.

    Attributes:
        codec: an encoder of FFmpeg.
        shown_ms: presentation times, in steps of 40 ms where the container has no finer clock.
        bframes: at most so many in a row.
        group: frames from one key frame to the next.
        metadata: of the container.
        keep: whether the packet of this number (in file order) is written.
    """

    codec: str = "libx264"
    shown_ms: Iterable[int] = STEADY_MS
    bframes: int = 0
    group: int = 250
    picture: Picture = grey
    size: tuple[int, int] = SIZE_PX
    aspect: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    keep: Callable[[int], bool] = lambda number: True

    def write(self, file: Path | Any) -> Any:
        base = Fraction(1, 25) if self.codec in ("mpeg4", "mpeg2video") else Fraction(1, 1000)
        packets = 0
        with av.open(str(file) if isinstance(file, Path) else file, "w", format=self.format, options=self.container) as container:
            container.metadata.update(self.metadata)
            stream = container.add_stream(self.codec, rate=25)
            stream.width, stream.height = self.size
            stream.pix_fmt = "yuvj420p" if self.codec == "mjpeg" else "yuv420p"
            stream.codec_context.time_base = base
            stream.gop_size = self.group
            if self.aspect is not None:
                stream.codec_context.sample_aspect_ratio = self.aspect
            stream.options = _options(self.codec, self.bframes) | self.options
            for number, shown_ms in enumerate([*self.shown_ms, None]):
                frame = None
                if shown_ms is not None:
                    frame = av.VideoFrame.from_ndarray(self.picture(number), format="bgr24").reformat(format=stream.pix_fmt)
                    frame.pts, frame.time_base = int(Fraction(shown_ms, 1000) / base), base
                for packet in stream.encode(frame):
                    if self.keep(packets):
                        container.mux(packet)
                    packets += 1
        return file


def _options(codec: str, bframes: int) -> dict[str, str]:
    return {
        "libx264": {"bf": str(bframes), "crf": "10", "threads": "1"},
        "libx265": {"x265-params": f"log-level=none:bframes={bframes}:crf=10:pools=none"},
        "mpeg4": {"bf": str(bframes), "qscale": "2"},
        "mpeg2video": {"bf": str(bframes), "qscale": "2"},
        "libvpx-vp9": {"crf": "10", "b": "0", "deadline": "realtime", "cpu-used": "8"},
        "libsvtav1": {"preset": "12", "crf": "10"},
    }.get(codec, {})


def patch_box(path: Path, kind: bytes, offset: int, content: bytes) -> Path:
    """Write over bytes of the first box of a kind; `offset` counts from its four letters."""
    whole = bytearray(path.read_bytes())
    start = whole.index(kind) + offset
    whole[start : start + len(content)] = content
    path.write_bytes(whole)
    return path


def turn(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Give an MP4 a display matrix: x' = ax + cy, y' = bx + dy."""
    matrix = [value << 16 for value in (a, b, 0, c, d, 0, 0, 0)] + [1 << 30]
    return patch_box(path, b"tkhd", 44, b"".join(value.to_bytes(4, "big", signed=True) for value in matrix))


def write_unclosed(film: Film, path: Path) -> None:
    """Write as a recorder that never ends: nothing is filled in afterwards, such as the length."""

    class Pipe:
        def write(self, content: bytes) -> int:
            return file.write(content)

    with path.open("wb") as file:
        film.write(Pipe())
