"""Checks that the input of an ONNX graph matches its JSON settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from wsra.runtime.backbones.common.pixels import Preparation
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.errors import BackboneError

_FLOATS = ("float32", "float16")


class InputSettings(Preparation, Protocol):
    """The settings of a graph's input."""

    @property
    def input(self) -> str:
        """Name of the input."""

    @property
    def batch(self) -> int | Literal["dynamic"]:
        """Rows per call."""


def input_dtype(backend: Backend, settings: InputSettings, graph: Path, *, what: str, keys: str, frames: int = 1) -> str:
    """The dtype of the input, once its name and shape match the settings.

    Args:
        backend: the loaded graph.
        settings: the settings of the JSON.
        graph: the file, for messages.
        what: "an encoder" or "a detector", for messages.
        keys: the JSON keys that determine the input's shape, for messages.
        frames: frames in a row of a clip encoder.

    Raises:
        BackboneError: graph and settings do not match.
    """
    if list(backend.inputs) != [settings.input]:
        raise BackboneError(
            f"{graph}: the input is {', '.join(backend.inputs)}; the JSON says {settings.input}: {what} must have only that input"
        )
    spec = backend.inputs[settings.input]
    if spec.dtype not in (*_FLOATS, "uint8"):
        raise BackboneError(f"{graph}: {settings.input} is {spec.dtype}; expected float32, float16 or uint8: export {what} so")
    if spec.dtype == "uint8" and (settings.scale, settings.mean, settings.std) != (1.0, (0.0,) * 3, (1.0,) * 3):
        raise BackboneError(f"{graph}: {settings.input} is uint8; then scale must be 1, mean [0, 0, 0] and std [1, 1, 1]")
    sizes = {"C": 3, "H": settings.size[0], "W": settings.size[1], "T": frames}
    want = ["rows" if letter == "N" else sizes[letter] for letter in settings.layout]
    if len(spec.shape) != len(want) or any(
        isinstance(have, int) and have != size for have, size in zip(spec.shape[1:], want[1:], strict=True)
    ):
        raise BackboneError(f"{graph}: {settings.input} is {_in_words(spec.shape)}; {keys} of the JSON make {_in_words(want)}")
    rows = spec.shape[0]
    if isinstance(rows, int) and rows != settings.batch:
        raise BackboneError(f'{graph}: takes {rows} rows per call, and batch of the JSON is {settings.batch}: set "batch": {rows}')
    return spec.dtype


def _in_words(shape: Sequence[int | str]) -> str:
    return "x".join("n" if isinstance(size, str) else str(size) for size in shape)
