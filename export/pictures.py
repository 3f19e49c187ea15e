"""FP16 and INT8 of a graph whose input is pictures, an encoder's or a detector's, each put through its gate; and those pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from wsra.calib.peaks import observe, wide_nodes
from wsra.calib.ranges import Feeds
from wsra.calib.samples import Samples
from wsra.export.fp16 import to_fp16
from wsra.export.int8 import Report, calibrate, int8_until_it_passes
from wsra.export.onnx import read_onnx
from wsra.runtime.backbones.common.graph_input import InputSettings
from wsra.runtime.backbones.common.pixels import arranged
from wsra.train.scenes.demo.pictures import PICTURES, scene_pictures

logger = logging.getLogger(__name__)

BYTES = "uint8"  # dtype of the input of every graph that wsra exports for pictures


def scene_pixels(settings: InputSettings, dtype: str, *, first: int = 0) -> NDArray[Any]:
    """Frames of rendered scenes as an input of this dtype and of 16 rows; see `scene_pictures`."""
    return arranged([[picture] for picture in scene_pictures(settings, first=first)], settings, dtype)


def export_precisions(
    graph: Path,
    settings: InputSettings,
    *,
    fp16: bool,
    int8: bool,
    seen: Sequence[Feeds],
    gate: Callable[[str, Path], Report],
    require_pass: Callable[[str, Report], None],
) -> list[Path]:
    """Write a graph in FP16 and INT8, into folders of these names beside it.

    Args:
        graph: in FP32: `image.onnx` or `detector.onnx`.
        settings: of its input.
        fp16: whether FP16 is wanted.
        int8: whether INT8 is wanted. It is calibrated on rendered scenes by the rules for a bundle; some products stay in FP16.
        seen: inputs by which is chosen what stays in FP32.
        gate: puts a graph of a precision through its gate.
        require_pass: refuses the report of a precision that failed.

    Returns:
        The folders.
    """
    name, folders = graph.stem, []
    if fp16:
        logger.info(f"exporting {name} in fp16")
        folder = graph.parent / "fp16"
        folder.mkdir()
        model = read_onnx(graph)
        onnx.save_model(to_fp16(model, name=name, wide=wide_nodes(model, observe(model, seen))), str(folder / graph.name))
        require_pass("fp16", gate("fp16", folder / graph.name))
        folders.append(folder)
    if int8:
        samples = Samples(
            np.zeros((0, 1), np.float32), [], "rendered scenes", [], images={settings.input: scene_pixels(settings, BYTES, first=1000)}
        )
        logger.info(f"exporting {name} in int8, calibrated on {PICTURES} pictures of {samples.source}")
        folder = graph.parent / "int8"
        calibrated = calibrate(graph.parent, samples)
        report, _ = int8_until_it_passes(calibrated, folder, partial(gate, "int8", folder / graph.name), samples)
        require_pass("int8", report)
        folders.append(folder)
    return folders
