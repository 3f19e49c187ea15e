"""`wsra export --detector`: RT-DETR and D-FINE as a detector folder, in FP32, FP16 and INT8; and a detector into a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from wsra.calib.samples import Samples
from wsra.export.base import Source
from wsra.export.detection_gate import LIMITS, detection_gate
from wsra.export.detr import load_detr, without_checks
from wsra.export.encoder import scene_pixels
from wsra.export.fp16 import half
from wsra.export.int8 import int8_until_it_passes, prepare
from wsra.export.onnx import onnx_from_graph, read_onnx
from wsra.export.reference import TorchBackend
from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.backbone import detector_id
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
from wsra.runtime.backbones.detectors.settings import DetectorSettings, read_detector
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.errors import ConfigError, ExportError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, replacing_folder
from wsra.runtime.verification.golden import Case

Say = Callable[[str], None]
GRAPH = "detector.onnx"
CALLS = (1, 2, 5)  # frames of the calls that a graph is checked with, of 16 rendered ones


def export_detector(
    name: str, out: Path, *, fp16: bool = False, int8: bool = False, overwrite: bool = False, say: Say = print
) -> DetectorSettings:
    """Export a detector of transformers.

    Args:
        name: hub name or folder of the model.
        out: the folder; `detector.json` and `detector.onnx` in it, and the same in folders `fp16` and `int8`.
        fp16: also half precision; rows of it are others than those of FP32, and have another id.
        int8: also INT8, mixed with half precision, calibrated on rendered scenes.
        overwrite: replace what stands at `out`.
        say: told each step.

    Raises:
        ConfigError: the model cannot be loaded, or is none of those that are known.
        ExportError: a graph cannot be made, or disagrees with PyTorch; then nothing is published.
        OutputError: `out` exists.
    """
    refuse_existing(out, overwrite=overwrite, folder=True)
    detr = load_detr(name)
    with locked(out), replacing_folder(out) as part:
        say(f"exporting {detr.name}")
        graph = detr.graph()
        with without_checks():
            onnx_from_graph(graph, part / GRAPH)
        settings = detr.settings(part / GRAPH)
        cases = _cases(TorchBackend(graph), settings)
        _judge("fp32", _gate("fp32", part / GRAPH, cases, settings), say)
        folders = [part]
        if fp16:
            say("exporting detector in fp16")
            folders.append(part / "fp16")
            folders[-1].mkdir()
            onnx.save_model(half(read_onnx(part / GRAPH), name="detector"), str(folders[-1] / GRAPH))
            _judge("fp16", _gate("fp16", folders[-1] / GRAPH, cases, settings), say)
        if int8:
            folders.append(part / "int8")
            _int8(part, settings, cases, say)
        for folder in folders:
            detr.settings(folder / GRAPH).write(folder / DETECTOR_JSON)
    return settings


def carry_detector(source: Source, folder: Path, part: Path) -> None:
    """Take the detector behind a checkpoint's features into its bundle, so that `ground` takes videos.

    Args:
        source: of the checkpoint.
        folder: with `detector.json` and its graph.
        part: the bundle.

    Raises:
        BackboneError: there is no detector.
        ConfigError: it is not the one that made the features.
    """
    settings = read_detector(folder / DETECTOR_JSON)
    graph = find_graph(folder / DETECTOR_JSON, folder, graph=settings.graph, sha256=settings.sha256)
    if source.backbone != (made := detector_id(settings.digest(), source.snippet_s)):
        raise ConfigError(f"{folder}: makes {made}, the checkpoint was trained on {source.backbone}; give that detector")
    place = part / CARRIED
    place.mkdir()
    shutil.copy2(graph, place / GRAPH)
    replace(settings, graph=GRAPH).write(place / DETECTOR_JSON)


def _cases(backend: TorchBackend, settings: DetectorSettings) -> list[Case]:
    """Calls with one, two and several rendered frames, all of them others."""
    pixels, cases, first = scene_pixels(settings), [], 0
    for count in CALLS:
        feeds = {settings.input: np.ascontiguousarray(pixels[first : first + count])}
        cases.append(Case(feeds, backend.infer(feeds)))
        first += count
    return cases


def _gate(precision: str, graph: Path, cases: Sequence[Case], settings: DetectorSettings) -> dict[str, Any]:
    return detection_gate(OrtBackend(graph), cases, settings, LIMITS[precision])


def _judge(precision: str, entry: dict[str, Any], say: Say) -> None:
    if not entry["passed"]:
        raise ExportError(f"{precision} detector fails its gate: {entry['reason']}; nothing is published")
    told = entry["detections"]
    say(f"{precision}: {told['agreement']:.1f} % of {told['boxes']} boxes agree with PyTorch, their scores to {told['score_mean']:.1e}")


def _int8(part: Path, settings: DetectorSettings, cases: Sequence[Case], say: Say) -> None:
    """Quantise by the rules of a bundle's, convolutions with the products."""
    pixels = {settings.input: scene_pixels(settings, first=1000)}
    samples = Samples(np.zeros((0, 1), np.float32), [], "rendered scenes", [], images=pixels)
    say(f"exporting detector in int8, calibrated on {len(pixels[settings.input])} frames of {samples.source}")
    folder = part / "int8"
    gate = partial(_gate, "int8", folder / settings.graph, cases, settings)
    _judge("int8", int8_until_it_passes(prepare(part, samples), folder, gate, samples, say), say)
