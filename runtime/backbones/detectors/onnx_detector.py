"""Running a detector: it turns frames into boxes with a class and a score, in ONNX Runtime or as an engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsra.runtime.backbones.common.picture_graph import PictureGraph
from wsra.runtime.backbones.common.pixels import place_of, resized
from wsra.runtime.backbones.detectors.decode import decoded
from wsra.runtime.backbones.detectors.detections import DetectorCall, DetectorOutputs, Found, chosen
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.tracking.background import Image
from wsra.runtime.backends.settings import ON_CPU, GraphSettings
from wsra.runtime.errors import BackboneError

FRAMES_PER_CALL = 8  # for a dynamic batch in ONNX Runtime


class OnnxDetector:
    """An ONNX detector; see `wsra.runtime.backbones.detectors.detections.Detector`.

    Args (constructor):
        settings: settings of the detector.
        graph: the ONNX file.
        run: how it runs.

    Attributes:
        pictures: the open graph.

    Raises:
        BackboneError: the settings do not match the graph.
        BackendError, MissingExtraError: see `open_graph`.
    """

    def __init__(self, settings: DetectorSettings, graph: Path, run: GraphSettings = ON_CPU) -> None:
        self.settings = settings
        self._graph = graph
        self.pictures = PictureGraph(
            settings,
            graph,
            run,
            what="a detector",
            keys=f"layout {settings.layout} and size",
            outputs=settings.names,
            usual=FRAMES_PER_CALL,
        )

    @property
    def id(self) -> str:
        """12 hexadecimal digits that identify the graph and every setting that affects a number."""
        return self.settings.digest()

    @property
    def height_px(self) -> int:
        """Height of the input."""
        return self.settings.size[0]

    @property
    def frames_per_s(self) -> float:
        """Frames per second of the settings."""
        return self.settings.frames_per_s

    @property
    def per_call(self) -> int:
        """The batch size of the graph; if it is dynamic, the largest of the engine, or 8 in ONNX Runtime."""
        return self.pictures.per_call

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self.pictures.device

    def prepare(self, images: Sequence[Image]) -> DetectorCall:
        """See `Detector.prepare`."""
        settings = self.settings
        rows = [[resized(image, settings, fill=settings.fill)] for image in images]
        return DetectorCall(self.pictures.prepare(rows), [(image.shape[0], image.shape[1]) for image in images])

    def infer(self, call: DetectorCall) -> DetectorOutputs:
        """See `Detector.infer`."""
        outputs = self.pictures.infer(call.pixels)
        return DetectorOutputs([outputs[name] for name in self.settings.names], len(call.pixels), call.sizes)

    def find(self, outputs: DetectorOutputs) -> list[Found]:
        """See `Detector.find`."""
        settings = self.settings
        try:
            found = decoded(outputs.arrays, settings, outputs.rows)
        except ValueError as err:
            raise BackboneError(f"{self._graph}: {err}") from err
        return [
            chosen(candidates, settings, place_of(*size, settings.size, settings.resize))
            for candidates, size in zip(found, outputs.sizes, strict=False)  # padding of the call is left out
        ]
