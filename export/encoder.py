"""`wsra export --backbone`: the image tower of CLIP, SigLIP and their like as a backbone folder, in FP32, FP16 and INT8, and compiled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from wsra.calib.samples import Samples
from wsra.export.fp16 import half
from wsra.export.graphs import Graph, image_graph
from wsra.export.int8 import int8_until_it_passes, prepare
from wsra.export.onnx import onnx_from_graph, read_onnx
from wsra.export.reference import TorchBackend, image_cases
from wsra.export.tensorrt.build import build_onnx
from wsra.runtime.backbones.common.graph_input import InputSettings
from wsra.runtime.backbones.common.pixels import arranged, fitted
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.engines import Profile
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.trt import find_library
from wsra.runtime.device import this_device
from wsra.runtime.errors import ExportError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, replacing_folder, sha256_of
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.verification.gates import LIMITS, tensor_gate
from wsra.runtime.verification.golden import Case
from wsra.train.scenes.demo.render import FPS, frames
from wsra.train.scenes.demo.world import sample_clip
from wsra.train.towers import Towers, load_towers

logger = logging.getLogger(__name__)

IMAGES = 16  # rendered frames that an encoder is checked with


def export_encoder(
    name: str,
    out: Path,
    *,
    fp16: bool = False,
    int8: bool = False,
    engine: bool = False,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> EncoderSettings:
    """Export the image tower of a model as a backbone.

    Args:
        name: hub name or folder of the model.
        out: the folder; `backbone.json` and `image.onnx` in it, and the same in folders `fp16` and `int8`.
        fp16: also half precision; features of it are others than those of FP32, and have another id.
        int8: also INT8, mixed with half precision, calibrated on rendered scenes.
        engine: also compile each graph with the installed TensorRT, as `image.plan` beside it.
        overwrite: replace what stands at `out`.
        progress: called with the phase of an engine's build, the steps that are done, and how many there are.

    Raises:
        ConfigError: the model cannot be loaded, or has not both towers.
        ExportError: a graph cannot be made or compiled, or disagrees with PyTorch; then nothing is published.
        OutputError: `out` exists.
        MissingExtraError, BackendError: TensorRT is missing, or cannot be used.
    """
    refuse_existing(out, overwrite=overwrite, folder=True)
    if engine:
        find_library(gpu=this_device().gpu is not None)  # before the work, not after it
    towers = load_towers(name)
    with locked(out), replacing_folder(out) as part:
        settings, graph = write_encoder(towers, part, part)
        cases = image_cases(TorchBackend(graph), {"pixels": scene_pixels(settings)})
        _pass("fp32", part / settings.graph, cases)
        folders = [part]
        if fp16:
            logger.info("exporting image in fp16")
            folders.append(part / "fp16")
            folders[-1].mkdir()
            onnx.save_model(half(read_onnx(part / settings.graph), name="image"), str(part / "fp16" / settings.graph))
            _pass("fp16", part / "fp16" / settings.graph, cases)
        if int8:
            folders.append(part / "int8")
            _int8(part, settings, cases)
        for folder in folders[1:]:
            settings_of(towers, folder / settings.graph).write(folder / BACKBONE_JSON)
        for folder in folders if engine else []:
            shape = (3, *settings.size)
            profile: Profile = {settings.input: ((1, *shape), (IMAGES, *shape), (IMAGES, *shape))}
            build_onnx(folder / settings.graph, folder / "image.plan", [profile], progress=progress)
    return settings


def _gate(precision: str, graph: Path, cases: Sequence[Case]) -> dict[str, Any]:
    told, wrong = tensor_gate(OrtBackend(graph), cases, LIMITS[precision])
    return {"passed": not wrong, "reason": "; ".join(wrong) or None, "tensors": told}


def _pass(precision: str, graph: Path, cases: Sequence[Case]) -> None:
    _judge(precision, _gate(precision, graph, cases))


def _judge(precision: str, entry: dict[str, Any]) -> None:
    if not entry["passed"]:
        raise ExportError(f"{precision} image fails its gate: {entry['reason']}; nothing is published")
    logger.info(f"{precision}: mean cosine with PyTorch {entry['tensors']['vectors']['cosine_mean']:.6f}")


def _int8(part: Path, settings: EncoderSettings, cases: Sequence[Case]) -> None:
    """Quantise the image tower alone, by the rules of a bundle's."""
    pixels = {settings.input: scene_pixels(settings, first=1000)}
    samples = Samples(np.zeros((0, settings.width), np.float32), [], "rendered scenes", [], images=pixels)
    logger.info(f"exporting image in int8, calibrated on {IMAGES} images of {samples.source}")
    folder = part / "int8"
    gate = partial(_gate, "int8", folder / settings.graph, cases)
    _judge("int8", int8_until_it_passes(prepare(part, samples), folder, gate, samples))


def write_encoder(towers: Towers, folder: Path, graphs: Path) -> tuple[EncoderSettings, Graph]:
    """Write `backbone.json` to `folder` and `image.onnx` in FP32 to `graphs`."""
    logger.info(f"exporting the image tower of {towers.name}")
    graph = image_graph(towers.image, size=towers.preparation.size, width=towers.text.width)
    onnx_from_graph(graph, graphs / "image.onnx")
    settings = settings_of(towers, graphs / "image.onnx")
    settings.write(folder / BACKBONE_JSON)
    return settings, graph


def settings_of(towers: Towers, graph: Path) -> EncoderSettings:
    """How the image tower is used."""
    told = towers.preparation
    return EncoderSettings(
        name=towers.name,
        graph=graph.name,
        sha256=sha256_of(graph),
        input="pixels",
        output="vectors",
        layout="NCHW",
        size=told.size,
        resize="crop" if told.crop else "stretch",
        colour="RGB",
        scale=told.scale,
        mean=told.mean,
        std=told.std,
        width=towers.text.width,
        normalise="l2",
        frames_per_snippet=1,
        sampling="middle",
    )


def scene_pixels(settings: InputSettings, *, first: int = 0) -> NDArray[np.float32]:
    """Prepared frames of rendered scenes (16, 3, height, width), two of each clip; another `first` gives others."""
    images = []
    for number in range(IMAGES // 2):
        for place, image in enumerate(frames(sample_clip(f"look-{first + number}", "train", first + number))):
            if place in (2 * FPS, 12 * FPS):
                images.append(fitted(image, settings))
    return arranged([[image] for image in images], settings.layout)
