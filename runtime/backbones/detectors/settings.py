"""The JSON settings of an ONNX detector: how frames become its input and its outputs become boxes. Every key is checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wsra.runtime.backbones.common.settings_json import PICTURES, Expected, check, is_count, is_name, is_number, is_one_of, read_table
from wsra.runtime.backbones.detectors.classes import CLASSES
from wsra.runtime.errors import BackboneError
from wsra.runtime.files.writing import replacing

FORMAT, VERSION = "wsra.detector", 1
OUTPUTS: dict[str, tuple[int, ...]] = {"detr": (2,), "yolox": (1,), "boxes": (1, 3)}  # layout -> possible numbers of outputs
# Increased whenever the rows change for the same settings, so that old and new ones never mix.
_NUMBERS = 1
_MOST = 1 << 28  # limit for the numbers of all pictures in memory at a time: a gibibyte in float32


@dataclass(frozen=True)
class DetectorSettings:
    """How an ONNX detector is used.

    Attributes:
        name: name of the detector, for messages.
        graph: name of the ONNX file.
        sha256: digest of the ONNX file.
        input: name of the graph's input.
        size: height and width of the input in pixels.
        resize: "stretch", "pad" (fit the longest side, `fill` on both sides) or "corner" (fit the longest side, picture at the top left).
        outputs: layout of the outputs, one of `OUTPUTS`; docs/detectors.md has the shapes.
        names: names of the outputs, in the order of the layout.
        classes: name of each class, by its number; "" for an unused number.
        layout: axes of the input, "NCHW" or "NHWC".
        colour: order of the channels, "RGB" or "BGR".
        scale: factor for the values 0 to 255.
        mean: subtracted from each channel after `scale`, in the order of `colour`.
        std: divides each channel after that.
        fill: grey level of the padding, 0 to 255.
        scores: for "detr": "sigmoid", or "softmax" with an unused last class.
        units: for "boxes": "pixels" of the input, or "shares" of it.
        strides: for "yolox" graphs that leave boxes in cells: the sizes of the cells in pixels; empty if the graph decodes them.
        threshold: minimum score of a box, above 0.
        nms: IoU above which the lower-scored of two boxes of a class is dropped; null if the graph does that, or needs no NMS.
        follow: names of the classes to track; null for all.
        frames_per_s: frames per second to process.
        batch: "dynamic", or the number of frames that every call must have.
    """

    name: str
    graph: str
    sha256: str
    input: str
    size: tuple[int, int]
    resize: str
    outputs: str
    names: tuple[str, ...]
    classes: tuple[str, ...]
    layout: str = "NCHW"
    colour: str = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fill: int = 114
    scores: str = "sigmoid"
    units: str = "pixels"
    strides: tuple[int, ...] = ()
    threshold: float = 0.5
    nms: float | None = None
    follow: tuple[str, ...] | None = None
    frames_per_s: float = 4.0
    batch: int | Literal["dynamic"] = "dynamic"

    def __post_init__(self) -> None:
        """Check every value and their combinations.

        Raises:
            BackboneError: a value is wrong; the message names the key.
        """
        check(self, _EXPECTED)
        for key in ("scale", "mean", "std", "threshold", "frames_per_s"):  # 1 and 1.0 must have the same digest
            value = getattr(self, key)
            object.__setattr__(self, key, tuple(map(float, value)) if isinstance(value, tuple) else float(value))
        if len(self.names) not in OUTPUTS[self.outputs]:
            counts = " or ".join(map(str, OUTPUTS[self.outputs]))
            raise BackboneError(f'names are {len(self.names)} and outputs "{self.outputs}"; that layout has {counts}')
        if self.strides and (self.outputs != "yolox" or any(side % stride for side in self.size for stride in self.strides)):
            raise BackboneError(f'strides are {list(self.strides)}; they are for "yolox", and each must divide size {list(self.size)}')
        if missing := [name for name in self.follow or () if name not in self.classes]:
            raise BackboneError(f"follow names {missing[0]}, which is not in classes; use the names in classes")
        rows = self.batch if isinstance(self.batch, int) else 1
        if (held := 3 * self.size[0] * self.size[1] * rows) > _MOST:
            raise BackboneError(f"size and batch make {held} numbers at a time; expected {_MOST} at most")

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
        """12 hexadecimal digits that identify the graph, every setting that affects the numbers, and the classes of rows."""
        relevant = {key: value for key, value in asdict(self).items() if key not in ("name", "graph", "batch")}
        return hashlib.sha256(json.dumps([_NUMBERS, CLASSES, relevant], sort_keys=True).encode()).hexdigest()[:12]


def read_detector(path: Path) -> DetectorSettings:
    """Read the JSON settings of a detector.

    Raises:
        BackboneError: the file is missing or not such a JSON, or a key is missing, unknown or wrong.
    """
    table = read_table(path, DetectorSettings, form=FORMAT, version=VERSION, what="detector", docs="docs/detectors.md")
    try:
        return DetectorSettings(**table)
    except BackboneError as err:
        raise BackboneError(f"{path}: {err}") from err


def _names(value: object) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= 1 << 16 and all(isinstance(name, str) for name in value)


_EXPECTED: Expected = {
    **PICTURES,
    "resize": is_one_of("stretch", "pad", "corner"),
    "outputs": is_one_of(*OUTPUTS),
    "names": (lambda value: _names(value) and all(map(is_name, value)), "the names of the graph's outputs that are used"),
    "classes": (lambda value: _names(value) and any(value), 'the name of each class by its number, such as ["person", "bicycle"]'),
    "layout": is_one_of("NCHW", "NHWC"),
    "fill": (is_count(0, 255), "a grey level, 0 to 255"),
    "scores": is_one_of("sigmoid", "softmax"),
    "units": is_one_of("pixels", "shares"),
    "strides": (lambda value: isinstance(value, tuple) and all(map(is_count(1, 4096), value)), "sizes of cells, such as [8, 16, 32]"),
    "threshold": (lambda value: is_number(value) and 0 < value < 1, "a number above 0 and below 1"),
    "nms": (lambda value: value is None or (is_number(value) and 0 < value < 1), "null, or a number above 0 and below 1"),
    "follow": (lambda value: value is None or (_names(value) and all(value)), 'null, or names of classes, such as ["person"]'),
    "frames_per_s": (lambda value: is_number(value) and 1 <= value <= 30, "a number from 1 to 30"),
}
