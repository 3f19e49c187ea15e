"""`wsra export --backbone`: export the image tower of a CLIP or SigLIP model as a backbone folder in FP32, FP16 and INT8."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsra.export.graphs import Graph, image_graph
from wsra.export.half_gate import extreme_cases, extreme_images, rounded_failures
from wsra.export.onnx import onnx_from_graph
from wsra.export.pictures import BYTES, export_precisions, scene_pixels
from wsra.export.reference import TorchBackend, image_cases
from wsra.export.tensorrt.folders import build_folder
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.device import this_device
from wsra.runtime.errors import ExportError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, replacing_folder, sha256_of
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.verification.gates import LIMITS, tensor_gate
from wsra.runtime.verification.golden import Case
from wsra.runtime.verification.reports import TensorReport
from wsra.train.towers import Towers, load_towers

logger = logging.getLogger(__name__)


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
        out: folder for `backbone.json` and `image.onnx`; the subfolders `fp16` and `int8` get the same two files.
        fp16: also export FP16. Its features differ from those of FP32, and have another id.
        int8: also export INT8, calibrated on rendered scenes; some products stay in FP16.
        engine: also compile each graph with the installed TensorRT, to `image.plan` beside it.
        overwrite: replace what exists at `out`.
        progress: called with the phase of an engine's build, the steps that are done, and how many there are.

    Raises:
        ConfigError: the model cannot be loaded, or lacks one of the towers.
        ExportError: a graph cannot be exported or compiled, or disagrees with PyTorch; nothing is published then.
        OutputError: `out` exists.
        MissingExtraError: `engine` is set and TensorRT is not installed.
        BackendError: `engine` is set and TensorRT cannot be used.
    """
    refuse_existing(out, overwrite=overwrite, folder=True)
    if engine:
        find_library(gpu=this_device().gpu is not None)  # so that a missing library fails now, not after the work
    towers = load_towers(name)
    with locked(out), replacing_folder(out) as part:
        settings, graph = write_encoder(towers, part, part)
        cases = image_cases(TorchBackend(graph), {settings.input: scene_pixels(settings, BYTES)})
        _require_pass("fp32", _gate(cases, [], "fp32", part / settings.graph))
        extremes = extreme_cases(part / settings.graph, [extreme_images(cases[-1].feeds)])
        seen = [case.feeds for case in (*cases, *extremes)]
        gate = partial(_gate, cases, extremes)
        for folder in export_precisions(
            part / settings.graph, settings, fp16=fp16, int8=int8, seen=seen, gate=gate, require_pass=_require_pass
        ):
            settings_of(towers, folder / settings.graph).write(folder / BACKBONE_JSON)
        if engine:
            build_folder(part, progress=progress)
    return settings


def encoder_folder(text: str) -> Path | None:
    """The folder of an exported encoder, for a bundle to carry; None if `text` names a model that is to be exported."""
    folder = Path(text)
    return folder if (folder / BACKBONE_JSON).is_file() else None


@dataclass(frozen=True)
class _ImageReport:
    """What the tensor gate found of an image encoder: its output's errors, and why it failed."""

    vectors: TensorReport | None
    reason: str | None

    @property
    def passed(self) -> bool:
        return self.reason is None


def _gate(cases: Sequence[Case], extremes: Sequence[Case], precision: str, graph: Path) -> _ImageReport:
    reports, failures = tensor_gate(OrtBackend(graph), cases, LIMITS[precision])
    failures += rounded_failures(precision, graph, cases, extremes) if precision != "fp32" else []
    return _ImageReport(reports.get("vectors"), "; ".join(failures) or None)


def _require_pass(precision: str, report: _ImageReport) -> None:
    if report.vectors is None or report.reason is not None:
        raise ExportError(f"{precision} image fails its gate: {report.reason}; nothing is published")
    logger.info(f"{precision}: mean cosine with PyTorch {report.vectors.cosine_mean:.6f}")


def write_encoder(towers: Towers, folder: Path, graphs: Path) -> tuple[EncoderSettings, Graph]:
    """Write `backbone.json` to `folder` and `image.onnx` in FP32 to `graphs`."""
    logger.info(f"exporting the image tower of {towers.name}")
    graph = image_graph(towers.image, towers.preparation, width=towers.text.width)
    onnx_from_graph(graph, graphs / "image.onnx")
    settings = settings_of(towers, graphs / "image.onnx")
    settings.write(folder / BACKBONE_JSON)
    return settings, graph


def settings_of(towers: Towers, graph: Path) -> EncoderSettings:
    """How the image tower is used: it takes frames as bytes, and prepares them itself."""
    preparation = towers.preparation
    return EncoderSettings(
        name=towers.name,
        graph=graph.name,
        sha256=sha256_of(graph),
        input="pixels",
        output="vectors",
        layout="NHWC",
        size=preparation.size,
        resize="crop" if preparation.crop else "stretch",
        colour="BGR",
        scale=1.0,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        width=towers.text.width,
        normalise="l2",
        frames_per_snippet=1,
        sampling="middle",
    )
