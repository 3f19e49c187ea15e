"""From what the user names to a detector that runs. Opens nothing heavy until then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.backbones.common.settings_json import graph_beside
from wsra.runtime.backbones.detectors.settings import read_detector
from wsra.runtime.errors import BackboneError, MissingExtraError

if TYPE_CHECKING:
    from wsra.runtime.backbones.detectors.backbone import DetectorBackbone

DETECTOR_JSON = "detector.json"
CARRIED = "detector"  # the folder of a bundle that carries one


def load_detector(name_or_path: Path | str, *, provider: str = "cpu", threads: int = 0, allow_fallback: bool = False) -> DetectorBackbone:
    """Load a detector as a backbone.

    Args:
        name_or_path: X.onnx or X.json (they lie beside each other), or a folder with detector.json.
        provider: of ONNX Runtime: "cpu", "cuda" or "tensorrt".
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        allow_fallback: run on the CPU where the provider cannot be had.

    Raises:
        BackboneError: there is none, its JSON is wrong, or the two do not fit.
        BackendError: ONNX Runtime refuses the graph, or the provider cannot be had.
        MissingExtraError: a library is not installed.
    """
    given = Path(name_or_path)
    if given.suffix not in (".onnx", ".json") and not given.is_dir():
        raise BackboneError(f"{given}: no detector; expected X.onnx with X.json beside it, or a folder with {DETECTOR_JSON}")
    path = given / DETECTOR_JSON if given.is_dir() else given.with_suffix(".json")
    settings = read_detector(path)
    graph = graph_beside(path, given, graph=settings.graph, sha256=settings.sha256)
    try:
        from wsra.runtime.backbones.detectors.backbone import DetectorBackbone
        from wsra.runtime.backbones.detectors.onnx_detector import OnnxDetector
    except ImportError as err:
        raise MissingExtraError("OpenCV or SciPy", "video", "extracting features from video") from err
    return DetectorBackbone(OnnxDetector(settings, graph, provider=provider, threads=threads, allow_fallback=allow_fallback))
