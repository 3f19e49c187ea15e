"""Loading the detector that the user names. Imports are lazy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.settings import read_detector
from wsra.runtime.backends.settings import ON_CPU, GraphSettings
from wsra.runtime.errors import BackboneError, MissingExtraError

if TYPE_CHECKING:
    from wsra.runtime.backbones.detectors.backbone import DetectorBackbone

DETECTOR_JSON = "detector.json"
CARRIED = "detector"  # folder of the detector in a bundle that contains one


def load_detector(name_or_path: Path | str, run: GraphSettings = ON_CPU) -> DetectorBackbone:
    """Load a detector as a backbone.

    Args:
        name_or_path: X.onnx or X.json (in one folder), or a folder with detector.json.
        run: how its graph runs.

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
    return DetectorBackbone(OnnxDetector(settings, graph, run))
