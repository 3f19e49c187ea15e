"""Build the engines of a folder with an encoder or a detector, in every precision that it holds. Runs on the device, without torch."""

from __future__ import annotations

import logging
from pathlib import Path

from wsra.export.tensorrt.build import build_onnx
from wsra.export.tensorrt.profiles import picture_profile
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.load import DETECTOR_JSON
from wsra.runtime.backbones.detectors.settings import DetectorSettings, read_detector
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings, read_settings
from wsra.runtime.backbones.registry import holds_graph
from wsra.runtime.backends.engines import Profile, misfit, outdated, read_sidecar
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.open_graph import plan_beside
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import PRECISIONS
from wsra.runtime.progress import Progress, unseen

logger = logging.getLogger(__name__)


def build_folder(
    folder: Path, *, keep_fitting: bool = True, workspace_mb: int | None = None, progress: Progress = unseen, gpu: int = 0
) -> list[Path]:
    """Compile an encoder or a detector for this device, to a plan beside each of its graphs.

    Args:
        folder: folder with `backbone.json` or `detector.json`; its subfolders `fp16` and `int8` may hold other precisions.
        keep_fitting: whether a plan that fits is kept instead of being built again.
        workspace_mb: see `build_onnx`.
        progress: see `build_onnx`.
        gpu: number of the GPU, from 0.

    Returns:
        The plans.

    Raises:
        BackboneError: a JSON is wrong or does not match its graph.
        ConfigError, ExportError, MissingExtraError, BackendError: see `build_onnx`.
    """
    device, plans = this_device(gpu=gpu), []
    for place in (folder, *(folder / precision for precision in PRECISIONS)):
        if not holds_graph(place):
            continue
        graph, settings = _graph_of(place)
        profile = picture_profile(settings)
        plan, _ = plan_beside(graph)
        if keep_fitting and _fits(graph, profile, device):
            logger.info(f"{plan}: fits and is kept")
        else:
            build_onnx(graph, plan, [profile], workspace_mb=workspace_mb, overwrite=True, progress=progress, gpu=gpu)
        plans.append(plan)
    return plans


def _graph_of(place: Path) -> tuple[Path, EncoderSettings | DetectorSettings]:
    path = place / BACKBONE_JSON
    settings: EncoderSettings | DetectorSettings
    if path.is_file():
        settings = read_settings(path)
    else:
        path = place / DETECTOR_JSON
        settings = read_detector(path)
    return find_graph(path, place, graph=settings.graph, sha256=settings.sha256), settings


def _fits(graph: Path, profile: Profile, device: Device) -> bool:
    """Whether the plan beside a graph can be kept. Engines can be built without a GPU, to see whether the graphs compile."""
    plan, sidecar = plan_beside(graph)
    if not sidecar.is_file():
        return False
    library = find_library(gpu=device.gpu is not None)
    here = plan.parent, {graph.stem: graph}
    made_with = str(library.__name__), str(library.__version__)
    try:
        engine = read_sidecar(sidecar)
    except BundleError:
        return False
    if graph.stem not in engine.graphs or engine.graphs[graph.stem].profiles != [profile]:
        return False
    reason = misfit(engine, *here, device, *made_with) if device.gpu else outdated(engine, *here, *made_with)
    return reason is None
