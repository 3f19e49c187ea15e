"""Check the graph of an encoder or a detector on this device: every way to run it, against its FP32 graph on the CPU.

The encoder in a bundle is one of the bundle's graphs and is checked with its golden images. What lies in a folder of its own, and the
detector that a bundle carries, have no golden images; they are checked with pictures that the caller gives.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.picture_graph import PictureGraph, Row
from wsra.runtime.backbones.common.pixels import Preparation
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
from wsra.runtime.backbones.detectors.onnx_detector import OnnxDetector
from wsra.runtime.backbones.detectors.settings import DetectorSettings, read_detector
from wsra.runtime.backbones.encoders.encoder import Encoder
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings, read_settings
from wsra.runtime.backbones.tracking.background import Image
from wsra.runtime.backends.engines import usable_folder
from wsra.runtime.backends.open_graph import plan_beside
from wsra.runtime.backends.ort import start_failure
from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.backends.routes import EVERY_PROVIDER, Route, library_here
from wsra.runtime.backends.settings import GraphSettings, Provider
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BackboneError, BackendError, ConfigError, MissingExtraError
from wsra.runtime.formats.bundle import MANIFEST, PRECISIONS, REJECTED
from wsra.runtime.verification.detection_gate import LIMITS, detection_gate
from wsra.runtime.verification.gates import SupportsInfer, judged_as, limits_of, tensor_gate
from wsra.runtime.verification.golden import Case
from wsra.runtime.verification.reports import PictureReport
from wsra.runtime.verification.verify import reject_engines

logger = logging.getLogger(__name__)

Pictures = Callable[[Preparation], Sequence[Image]]  # frames (*size, 3) BGR, resized as the settings say
CALLS = (1, 2, 5, 8)  # rows of the calls


@dataclass(frozen=True)
class PictureSource:
    """A graph of an encoder or a detector.

    Attributes:
        settings: of its JSON.
        graph: the ONNX file.
        precision: as its folder is named; "fp32" for the folder that was given, and for the detector of a bundle.
        bundle: the bundle that carries it, or None.
    """

    settings: EncoderSettings | DetectorSettings
    graph: Path
    precision: str
    bundle: Path | None

    def name(self, provider: Provider) -> str:
        """Name of a route in reports: as of a bundle's routes, and "detector/engine" for what a bundle carries."""
        return Route(self.precision, provider).name if self.bundle is None else f"{CARRIED}/{provider}"

    def open(self, provider: Provider, *, threads: int, gpu: int) -> Encoder | OnnxDetector:
        """Open the graph; errors as of `Encoder` and `OnnxDetector`."""
        run = GraphSettings(provider, threads, gpu=gpu, bundle=self.bundle)
        if isinstance(self.settings, EncoderSettings):
            return Encoder(self.settings, self.graph, run)
        return OnnxDetector(self.settings, self.graph, run)


def picture_sources(folder: Path) -> list[PictureSource]:
    """The graphs in a folder of an encoder or a detector, FP32 first, or the detector that a bundle carries; none elsewhere.

    Raises:
        BackboneError: a JSON is wrong or does not match its graph.
    """
    if (folder / MANIFEST).is_file():
        return [source for source in [_source(folder / CARRIED, "fp32", folder)] if source is not None]
    places = {"fp32": folder} | {name: folder / name for name in PRECISIONS if name != "fp32"}
    return [source for name, place in places.items() if (source := _source(place, name, None)) is not None]


def _source(place: Path, precision: str, bundle: Path | None) -> PictureSource | None:
    settings: EncoderSettings | DetectorSettings
    if bundle is None and (path := place / BACKBONE_JSON).is_file():
        settings = read_settings(path)
    elif (path := place / DETECTOR_JSON).is_file():
        settings = read_detector(path)
    else:
        return None
    return PictureSource(settings, find_graph(path, place, graph=settings.graph, sha256=settings.sha256), precision, bundle)


def verify_pictures(
    sources: Sequence[PictureSource],
    pictures: Pictures,
    *,
    precision: str = "auto",
    provider: str = "auto",
    threads: int = 0,
    gpu: int = 0,
) -> dict[str, PictureReport]:
    """Compare every way to run the graphs here with the first of them on the CPU; a plan that disagrees is renamed to `.rejected`.

    Args:
        sources: from `picture_sources`; the first is the reference.
        pictures: gives frames for the settings of a graph.
        precision: one of the folder's, or "auto" for all; what a bundle carries has only one.
        provider: one provider, or "auto" for all that start here.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        gpu: number of the GPU, from 0.

    Returns:
        Name of the route -> its report; see docs/verify.md.

    Raises:
        ConfigError: there is no such GPU, or no such precision.
        BackboneError: a JSON does not match its graph.
        BackendError, MissingExtraError: the reference cannot be opened.
    """
    device, reference, reports = this_device(gpu=gpu), sources[0], dict[str, PictureReport]()
    chosen = [one for one in sources if reference.bundle is not None or precision in ("auto", one.precision)]
    if not chosen:
        raise ConfigError(f"--precision {precision}: not in this folder; choose one of {', '.join(one.precision for one in sources)}")
    exact: Encoder | OnnxDetector | None = None
    for source in chosen:
        for way in _ways(provider, device):
            if source is reference and way == "cpu":
                continue
            name = source.name(way)
            try:
                opened = source.open(way, threads=threads, gpu=gpu)
            except (BackendError, MissingExtraError) as err:
                if provider == "auto":
                    logger.info(f"{name} is left out: {err}")
                else:
                    reports[name] = PictureReport(_kind(source), Route(source.precision, way), str(err), ran=False)
                continue
            logger.info(f"verifying {name}: pictures, against {reference.precision} on the CPU")
            exact = exact or reference.open("cpu", threads=threads, gpu=gpu)
            report = reports[name] = _compared(source, Route(source.precision, way), opened, exact, pictures(source.settings))
            del opened  # a plan is closed then
            if report.ran and report.reason is not None and way == "engine":
                _reject(source, device, report.reason)
    return reports


def _ways(provider: str, device: Device) -> Iterator[Provider]:
    for way in EVERY_PROVIDER:
        if provider == way or (provider == "auto" and _starts(way, device)):
            yield way


def _starts(way: Provider, device: Device) -> bool:
    if device.gpu is None:
        return way == "cpu"
    return way == "engine" or start_failure(way, gpu=device.gpu.index) is None


def _kind(source: PictureSource) -> Literal["encoder", "detector"]:
    return "encoder" if isinstance(source.settings, EncoderSettings) else "detector"


class _Vectors:
    """An encoder whose input is rows of frames (N, T, H, W, 3)."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Its vectors, as they become features."""
        rows = feeds["pictures"]
        return {"vectors": np.stack(self._encoder.embeddings(self._encoder.prepare(_rows(rows)), len(rows)))}


class _Outputs:
    """The graph of a detector whose input is rows of one frame each (N, 1, H, W, 3)."""

    def __init__(self, graph: PictureGraph) -> None:
        self._graph = graph

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Its outputs as they are."""
        return self._graph.infer(self._graph.prepare(_rows(feeds["pictures"])))


def _rows(frames: NDArray[np.uint8]) -> list[Row]:
    return [list(row) for row in frames]


def _runs(opened: Encoder | OnnxDetector) -> SupportsInfer:
    return _Vectors(opened) if isinstance(opened, Encoder) else _Outputs(opened.pictures)


def _cases(
    settings: EncoderSettings | DetectorSettings, graph: PictureGraph, exact: SupportsInfer, pictures: Sequence[Image]
) -> list[Case]:
    """Calls of several sizes, each with its own pictures as far as they go, and what the reference makes of them."""
    frames = settings.frames if isinstance(settings, EncoderSettings) else 1
    cases, first = [], 0
    for count in sorted({graph.filled(min(count, graph.per_call)) for count in CALLS}):
        chosen = [pictures[number % len(pictures)] for number in range(first, first + count * frames)]
        rows = np.stack(chosen).reshape(count, frames, *pictures[0].shape)
        feeds = {"pictures": rows}
        cases.append(Case(feeds, exact.infer(feeds)))
        first += count * frames
    return cases


def _compared(
    source: PictureSource, route: Route, opened: Encoder | OnnxDetector, exact: Encoder | OnnxDetector, pictures: Sequence[Image]
) -> PictureReport:
    settings, graph = source.settings, opened.pictures
    cases = _cases(settings, graph, _runs(exact), pictures)
    count = sum(case.feeds["pictures"].shape[0] * case.feeds["pictures"].shape[1] for case in cases)
    report = PictureReport(_kind(source), route, None, True, graph.provider, graph.device, count)
    try:
        if isinstance(settings, DetectorSettings):
            found = detection_gate(_runs(opened), cases, settings, LIMITS[judged_as(route.precision, graph.device)])
            return replace(report, reason=found.reason, boxes=found.boxes)
        tensors, failures = tensor_gate(_runs(opened), cases, limits_of(route.precision, graph.device))
        return replace(report, reason="; ".join(failures) or None, vectors=tensors.get("vectors"))
    except BackboneError as err:  # it does not run, or its output is not finite
        return replace(report, reason=str(err))


def _reject(source: PictureSource, device: Device, reason: str) -> None:
    """Rename a plan that disagrees, so that nothing runs it."""
    try:
        if source.bundle is not None:
            reject_engines(usable_folder(source.bundle, device, *library_here(device), source.graph.parent.name), reason)
            return
        for path in plan_beside(source.graph):
            os.replace(path, path.with_name(f"{path.name}{REJECTED}"))
        logger.info(f"{source.graph.with_suffix('.plan')} is kept as .plan{REJECTED}")
    except OSError as err:
        logger.warning(f"{source.graph.parent} cannot be changed ({err})")
