"""`wsra export --detector`: export RT-DETR or D-FINE as a detector folder in FP32, FP16 and INT8, or put such a folder into a bundle."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from wsra.export.base import BundleSource
from wsra.export.detr import load_detr, without_checks
from wsra.export.half import RoundedBackend
from wsra.export.half_gate import extreme_cases, extreme_images, range_failures, sums_failures
from wsra.export.onnx import onnx_from_graph
from wsra.export.pictures import BYTES, export_precisions, scene_pixels
from wsra.export.reference import TorchBackend
from wsra.export.tensorrt.folders import build_folder
from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.backbone import detector_id
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
from wsra.runtime.backbones.detectors.settings import DetectorSettings, read_detector
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.device import this_device
from wsra.runtime.errors import ConfigError, ExportError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, replacing_folder
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.verification.detection_gate import LIMITS, DetectionReport, detection_gate
from wsra.runtime.verification.golden import Case

logger = logging.getLogger(__name__)

GRAPH = "detector.onnx"
CALLS = (1, 2, 5)  # frames in each call with which a graph is checked; there are 16 rendered frames


def export_detector(
    name: str,
    out: Path,
    *,
    fp16: bool = False,
    int8: bool = False,
    engine: bool = False,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> DetectorSettings:
    """Export a detector of transformers.

    Args:
        name: hub name or folder of the model.
        out: folder for `detector.json` and `detector.onnx`; the subfolders `fp16` and `int8` get the same two files.
        fp16: also export FP16. Its rows differ from those of FP32, and have another id.
        int8: also export INT8, calibrated on rendered scenes; some products stay in FP16.
        engine: also compile each graph with the installed TensorRT, to `detector.plan` beside it.
        overwrite: replace what exists at `out`.
        progress: called with the phase of an engine's build, the steps that are done, and how many there are.

    Raises:
        ConfigError: the model cannot be loaded, or is not of a supported family.
        ExportError: a graph cannot be exported or compiled, or disagrees with PyTorch; nothing is published then.
        OutputError: `out` exists.
        MissingExtraError: `engine` is set and TensorRT is not installed.
        BackendError: `engine` is set and TensorRT cannot be used.
    """
    refuse_existing(out, overwrite=overwrite, folder=True)
    if engine:
        find_library(gpu=this_device().gpu is not None)  # so that a missing library fails now, not after the work
    detr = load_detr(name)
    with locked(out), replacing_folder(out) as part:
        logger.info(f"exporting {detr.name}")
        graph = detr.graph()
        with without_checks():
            onnx_from_graph(graph, part / GRAPH)
        settings = detr.settings(part / GRAPH)
        cases = _cases(TorchBackend(graph), settings)
        _require_pass("fp32", _gate(cases, [], settings, "fp32", part / GRAPH))
        extremes = extreme_cases(part / GRAPH, [extreme_images(cases[-1].feeds)])
        seen, gate = [case.feeds for case in (*cases, *extremes)], partial(_gate, cases, extremes, settings)
        others = export_precisions(part / GRAPH, settings, fp16=fp16, int8=int8, seen=seen, gate=gate, require_pass=_require_pass)
        for folder in (part, *others):
            detr.settings(folder / GRAPH).write(folder / DETECTOR_JSON)
        if engine:
            build_folder(part, progress=progress)
    return settings


def detector_folder(text: str) -> Path | None:
    """The folder of an exported detector, for a bundle to carry; None if `text` names a model that is to be exported."""
    folder = Path(text)
    return folder if (folder / DETECTOR_JSON).is_file() else None


def carry_detector(source: BundleSource, folder: Path, part: Path) -> None:
    """Copy the detector of a checkpoint's features into its bundle, so that `ground` can take videos.

    Args:
        source: what the bundle is made of.
        folder: a folder with `detector.json` and its graph.
        part: folder of the bundle.

    Raises:
        BackboneError: the folder holds no detector.
        ConfigError: another detector made the features.
    """
    settings = read_detector(folder / DETECTOR_JSON)
    graph = find_graph(folder / DETECTOR_JSON, folder, graph=settings.graph, sha256=settings.sha256)
    if source.backbone != (made := detector_id(settings.digest(), source.snippet_s)):
        raise ConfigError(f"{folder}: makes features of {made}, the checkpoint was trained on {source.backbone}; give that detector")
    place = part / CARRIED
    place.mkdir()
    shutil.copy2(graph, place / GRAPH)
    replace(settings, graph=GRAPH).write(place / DETECTOR_JSON)


def _cases(backend: TorchBackend, settings: DetectorSettings) -> list[Case]:
    """Calls with one, two and five rendered frames, all of them different."""
    pixels, cases, first = scene_pixels(settings, BYTES), [], 0
    for count in CALLS:
        feeds = {settings.input: np.ascontiguousarray(pixels[first : first + count])}
        cases.append(Case(feeds, backend.infer(feeds)))
        first += count
    return cases


def _gate(cases: Sequence[Case], extremes: Sequence[Case], settings: DetectorSettings, precision: str, graph: Path) -> DetectionReport:
    if precision == "fp32":
        return detection_gate(OrtBackend(graph), cases, settings, LIMITS[precision])
    backend = RoundedBackend(graph)  # as a GPU rounds it
    report = detection_gate(backend, cases, settings, LIMITS[precision])
    failures = [f"extreme pictures: {failure}" for failure in range_failures(backend, extremes)]
    failures += sums_failures(graph, [*cases, *extremes])
    return replace(report, reason="; ".join([*([report.reason] if report.reason else []), *failures]) or None)


def _require_pass(precision: str, report: DetectionReport) -> None:
    if report.boxes is None or report.reason is not None:
        raise ExportError(f"{precision} detector fails its gate: {report.reason}; nothing is published")
    boxes = report.boxes
    logger.info(f"{precision}: {boxes.agreement:.1f} % of {boxes.boxes} boxes agree with PyTorch, their scores to {boxes.score_mean:.1e}")
