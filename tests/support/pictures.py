"""A detector whose one box is known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from graphs import save
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.files.writing import sha256_of


def bright_detector(folder: Path, *, widens: float = 0.25) -> Path:
    """A detector of bytes that finds one person in each frame, whose box follows the brightness of the picture; wider by `widens`."""
    node = helper.make_node
    nodes = [
        node("Cast", ["x"], ["values"], to=TensorProto.FLOAT, name="cast"),
        node("ReduceMean", ["values", "axes"], ["mean"], keepdims=0, name="mean"),
        node("Reshape", ["mean", "shape"], ["level"], name="level"),
        node("Mul", ["level", "factors"], ["scaled"], name="scale"),
        node("Add", ["scaled", "offsets"], ["y"], name="add"),
    ]
    factors, offsets = np.array([0.05, 0.1, widens, 0.3, 0, 0], np.float32), np.array([0, 0, 0, 0, 0.9, 0], np.float32)
    constants = {"axes": np.array([1, 2, 3]), "shape": np.array([-1, 1, 1]), "factors": factors, "offsets": offsets}
    graph = save(folder / "detector.onnx", nodes, {"x": (TensorProto.UINT8, ["n", 64, 64, 3])}, {"y": ["n", 1, 6]}, constants)
    DetectorSettings(
        name="bright",
        graph=graph.name,
        sha256=sha256_of(graph),
        input="x",
        size=(64, 64),
        resize="stretch",
        outputs="boxes",
        names=("y",),
        classes=("person",),
        layout="NHWC",
        colour="BGR",
        scale=1.0,
    ).write(folder / "detector.json")
    return folder
