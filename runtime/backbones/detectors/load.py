"""Loading the detector that the user names. Imports are lazy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.settings import read_detector
from wsra.runtime.errors import BackboneError, MissingExtraError

if TYPE_CHECKING:
    from wsra.runtime.backbones.detectors.backbone import DetectorBackbone
    from wsra.runtime.backends.settings import Provider

DETECTOR_JSON = "detector.json"
CARRIED = "detector"  # folder of the detector in a bundle that contains one


def load_detector(
    name_or_path: Path | str,
    *,
    provider: Provider = "cpu",
    threads: int = 0,
    allow_fallback: bool = False,
    gpu: int = 0,
    bundle: Path | None = None,
) -> DetectorBackbone:
    """Load a detector as a backbone.

    Args:
        name_or_path: X.onnx or X.json (in one folder), or a folder with detector.json.
        provider: "cpu", "cuda" or "tensorrt" of ONNX Runtime, or "engine" for the plan beside the graph.
        threads: threads of ONNX Runtime on the CPU; 0 lets it decide.
        allow_fallback: whether to run on the CPU if the provider is unavailable.
        gpu: number of the GPU, from 0, where the provider runs on one.
        bundle: the bundle that contains the detector, whose engines are used; None takes the plan beside the graph.

    Raises:
        BackboneError: there is no detector, its JSON is wrong, or JSON and graph do not match.
        BackendError: the graph is refused, the provider is unavailable, or no plan fits.
        MissingExtraError: a library is not installed.
    """
    given = Path(name_or_path)
    if given.suffix not in (".onnx", ".json") and not given.is_dir():
        raise BackboneError(f"{given}: not a detector; expected X.onnx next to X.json, or a folder with {DETECTOR_JSON}")
    path = given / DETECTOR_JSON if given.is_dir() else given.with_suffix(".json")
    settings = read_detector(path)
    graph = find_graph(path, given, graph=settings.graph, sha256=settings.sha256)
    try:
        from wsra.runtime.backbones.detectors.backbone import DetectorBackbone
        from wsra.runtime.backbones.detectors.onnx_detector import OnnxDetector
    except ImportError as err:
        raise MissingExtraError("OpenCV or SciPy", "video", "extracting features from video") from err
    return DetectorBackbone(
        OnnxDetector(settings, graph, provider=provider, threads=threads, allow_fallback=allow_fallback, gpu=gpu, bundle=bundle)
    )
