"""The range of shapes for which TensorRT builds the engine of a graph of pictures. Imports no OpenCV: wsra build does without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsra.runtime.backends.engines import Profile

if TYPE_CHECKING:
    from wsra.runtime.backbones.common.graph_input import InputSettings


def rows_profile(settings: InputSettings, *, frames: int, most: int) -> Profile:
    """The range of shapes of the input: from one row per call to `most`, the usual number, unless the graph has a fixed one."""
    smallest, most = (1, most) if settings.batch == "dynamic" else (settings.batch, settings.batch)
    sizes = {"C": 3, "H": settings.size[0], "W": settings.size[1], "T": frames}
    shape = tuple(sizes[letter] for letter in settings.layout[1:])
    return {settings.input: ((smallest, *shape), (most, *shape), (most, *shape))}
