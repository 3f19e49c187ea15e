"""`wsra export --backbone`: the image tower of CLIP, SigLIP and their like as a backbone folder, FP32 and, halved, FP16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from wsra.export.gates import LIMITS, tensor_gate
from wsra.export.graphs import Graph, image_graph
from wsra.export.half import half
from wsra.export.onnx import onnx_from_graph
from wsra.export.reference import TorchBackend, image_cases
from wsra.runtime.backbone import BACKBONE_JSON
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.encoder_settings import EncoderSettings
from wsra.runtime.errors import ExportError
from wsra.runtime.files import refuse_existing, replacing, sha256_of
from wsra.runtime.pixels import arranged, fitted
from wsra.train.scenes.render import FPS, frames
from wsra.train.scenes.world import sample_clip
from wsra.train.towers import Towers, load_towers

Say = Callable[[str], None]
IMAGES = 16  # rendered frames that an encoder is checked with


def export_encoder(name: str, out: Path, *, fp16: bool = False, overwrite: bool = False, say: Say = print) -> EncoderSettings:
    """Export the image tower of a model as a backbone.

    Args:
        name: hub name or folder of the model.
        out: the folder; `backbone.json` and `image.onnx` in it, and with `fp16` a folder `fp16` of the same.
        fp16: also half precision; features of it are others than those of FP32, and have another id.
        overwrite: replace what stands at `out`.
        say: told each step.

    Raises:
        ConfigError: the model cannot be loaded, or has not both towers.
        ExportError: a graph cannot be made, or disagrees with PyTorch; then nothing is published.
        OutputError: `out` exists.
    """
    refuse_existing(out, overwrite=overwrite)
    towers = load_towers(name)
    with replacing(out) as part:
        part.mkdir()
        settings, graph = write_encoder(towers, part, part, say)
        cases = image_cases(TorchBackend(graph), {"pixels": scene_pixels(settings)})
        precisions = {"fp32": part}
        if fp16:
            say("exporting image in fp16")
            precisions["fp16"] = part / "fp16"
            (part / "fp16").mkdir()
            onnx.save_model(half(onnx.load(str(part / settings.graph)), name="image"), str(part / "fp16" / settings.graph))
            settings_of(towers, part / "fp16" / settings.graph).write(part / "fp16" / BACKBONE_JSON)
        for precision, folder in precisions.items():
            told, wrong = tensor_gate(OrtBackend(folder / settings.graph), cases, LIMITS[precision])
            if wrong:
                raise ExportError(f"{precision} image fails its gate: {'; '.join(wrong)}; nothing is published")
            say(f"{precision}: mean cosine with PyTorch {told['vectors']['cosine_mean']:.6f}")
    return settings


def write_encoder(towers: Towers, folder: Path, graphs: Path, say: Say) -> tuple[EncoderSettings, Graph]:
    """Write `backbone.json` to `folder` and `image.onnx` in FP32 to `graphs`."""
    say(f"exporting the image tower of {towers.name}")
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


def scene_pixels(settings: EncoderSettings, *, first: int = 0) -> NDArray[np.float32]:
    """Prepared frames of rendered scenes (16, 3, height, width), two of each clip; another `first` gives others."""
    images = []
    for number in range(IMAGES // 2):
        for place, image in enumerate(frames(sample_clip(f"look-{first + number}", "train", first + number))):
            if place in (2 * FPS, 12 * FPS):
                images.append(fitted(image, settings))
    return arranged([[image] for image in images], settings.layout)
