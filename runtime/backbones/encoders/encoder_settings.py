"""The JSON settings of an ONNX encoder: how frames become its input and its output becomes features. Every key is checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wsra.runtime.backbones.common.settings_json import PICTURES, Expected, check, is_count, is_name, is_one_of, one_of, read_table
from wsra.runtime.errors import BackboneError
from wsra.runtime.files.writing import replacing

FORMAT, VERSION = "wsra.backbone", 1
IMAGE_LAYOUTS, CLIP_LAYOUTS = ("NCHW", "NHWC"), ("NCTHW", "NTCHW", "NTHWC")
# Increased whenever the features change for the same settings, so that old and new ones never mix.
_NUMBERS = 1
_MOST = 1 << 28  # limit for the numbers of all pictures in memory at a time: a gibibyte in float32


@dataclass(frozen=True)
class EncoderSettings:
    """How an ONNX encoder is used.

    Attributes:
        name: name of the encoder; the first part of the backbone's id.
        graph: name of the ONNX file.
        sha256: digest of the ONNX file.
        input: name of the graph's input.
        output: name of the output to use.
        layout: axes of the input: "NCHW" or "NHWC" for an image encoder, "NCTHW", "NTCHW" or "NTHWC" for a clip encoder.
        size: height and width of the input in pixels.
        resize: "crop" (fit the shortest side, keep the middle), "stretch", or "pad" (fit the longest side, black on both sides).
        colour: order of the channels, "RGB" or "BGR".
        scale: factor for the values 0 to 255.
        mean: subtracted from each channel after `scale`, in the order of `colour`.
        std: divides each channel after that.
        width: width of an embedding, D.
        normalise: "l2" scales each embedding to length 1 before pooling; "none" leaves it.
        frames: frames per row: 1 for an image encoder, more for a clip encoder.
        frames_per_snippet: frames encoded per snippet; for a clip encoder always `frames`. 0 stands for `frames`.
        sampling: "uniform", the middles of equal parts of the snippet, or "middle", one frame.
        pool: "mean" over the embeddings of a snippet.
        output_axis: axis of the output that is D; the other axes except the first are averaged.
        batch: "dynamic", or the number of rows that every call must have.
    """

    name: str
    graph: str
    sha256: str
    input: str
    output: str
    layout: str
    size: tuple[int, int]
    resize: str
    colour: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    width: int
    normalise: str
    frames: int = 1
    frames_per_snippet: int = 0
    sampling: str = "uniform"
    pool: str = "mean"
    output_axis: int = 1
    batch: int | Literal["dynamic"] = "dynamic"

    def __post_init__(self) -> None:
        """Check every value and their combinations.

        Raises:
            BackboneError: a value is wrong; the message names the key.
        """
        object.__setattr__(self, "frames_per_snippet", self.frames_per_snippet or self.frames)
        check(self, _EXPECTED)
        for key in ("scale", "mean", "std"):  # 1 and 1.0 must have the same digest
            value = getattr(self, key)
            object.__setattr__(self, key, tuple(map(float, value)) if isinstance(value, tuple) else float(value))
        kind, layouts = ("image", IMAGE_LAYOUTS) if self.frames == 1 else ("clip", CLIP_LAYOUTS)
        if self.layout not in layouts:
            raise BackboneError(
                f'layout is "{self.layout}" and frames {self.frames}; an encoder of {self.frames} frames per call takes {one_of(layouts)}'
            )
        if kind == "clip" and self.frames_per_snippet != self.frames:
            raise BackboneError(
                f"frames_per_snippet is {self.frames_per_snippet}; for a clip encoder it must be frames, {self.frames}: leave it out"
            )
        if self.sampling == "middle" and self.frames_per_snippet != 1:
            raise BackboneError(
                f'sampling is "middle", which is one frame, but frames_per_snippet is {self.frames_per_snippet}: use "uniform"'
            )
        rows = self.batch if isinstance(self.batch, int) else 1
        held = 3 * self.size[0] * self.size[1] * max(rows * self.frames, self.frames_per_snippet)
        if held > _MOST:
            raise BackboneError(f"size, frames, frames_per_snippet and batch make {held} numbers at a time; expected {_MOST} at most")

    def dumps(self) -> str:
        """The JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Write the JSON.

        Raises:
            OutputError: the file cannot be written.
        """
        with replacing(path) as part:
            part.write_text(self.dumps(), encoding="utf-8")

    def digest(self) -> str:
        """12 hexadecimal digits that identify the graph and every setting that affects the numbers."""
        relevant = {key: value for key, value in asdict(self).items() if key not in ("name", "graph", "batch")}
        return hashlib.sha256(json.dumps([_NUMBERS, relevant], sort_keys=True).encode()).hexdigest()[:12]


def read_settings(path: Path) -> EncoderSettings:
    """Read the JSON settings of an encoder.

    Raises:
        BackboneError: the file is missing or not such a JSON, or a key is missing, unknown or wrong.
    """
    table = read_table(path, EncoderSettings, form=FORMAT, version=VERSION, what="encoder", docs="docs/backbones.md")
    if table.get("frames_per_snippet", 1) == 0:
        raise BackboneError(f"{path}: frames_per_snippet is 0; expected a whole number from 1 to 1024")
    try:
        return EncoderSettings(**table)
    except BackboneError as err:
        raise BackboneError(f"{path}: {err}") from err


_EXPECTED: Expected = {
    **PICTURES,
    "output": (is_name, "the name of one of the graph's outputs"),
    "layout": is_one_of(*IMAGE_LAYOUTS, *CLIP_LAYOUTS),
    "resize": is_one_of("crop", "stretch", "pad"),
    "width": (is_count(1, 1 << 20), "a whole number from 1"),
    "normalise": is_one_of("l2", "none"),
    "frames": (is_count(1, 1024), "a whole number from 1 to 1024"),
    "frames_per_snippet": (is_count(1, 1024), "a whole number from 1 to 1024"),
    "sampling": is_one_of("middle", "uniform"),
    "pool": is_one_of("mean"),
    "output_axis": (is_count(1, 5), "an axis of the output, 1 to 5"),
}
