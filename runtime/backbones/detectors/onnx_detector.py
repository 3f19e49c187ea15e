"""Running an ONNX detector: it turns frames into boxes with a class and a score, on any provider of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsra.runtime.backbones.common.graph_input import input_dtype
from wsra.runtime.backbones.common.pixels import arranged, fitted, place_of
from wsra.runtime.backbones.detectors.choose import chosen
from wsra.runtime.backbones.detectors.decode import decoded
from wsra.runtime.backbones.detectors.found import Found
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.tracking.background import Image
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.errors import BackboneError, BackendError

FRAMES_PER_CALL = 8  # for a dynamic batch


class OnnxDetector:
    """An ONNX detector; see `wsra.runtime.backbones.detectors.found.Detector`.

    Args (constructor):
        settings: settings of the detector.
        graph: the ONNX file.
        provider: provider of ONNX Runtime: "cpu", "cuda" or "tensorrt".
        threads: threads on the CPU; 0 lets ONNX Runtime decide.
        allow_fallback: whether to run on the CPU if the provider is unavailable.

    Raises:
        BackboneError: the settings do not match the graph.
        BackendError: ONNX Runtime refuses the graph, or the provider is unavailable.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(
        self, settings: DetectorSettings, graph: Path, *, provider: str = "cpu", threads: int = 0, allow_fallback: bool = False
    ) -> None:
        self.settings = settings
        self._graph = graph
        self._backend: Backend = OrtBackend(graph, provider=provider, threads=threads, allow_fallback=allow_fallback)
        self._dtype = input_dtype(self._backend, settings, graph, what="a detector", keys=f"layout {settings.layout} and size")
        for name in settings.names:
            if name not in self._backend.outputs:
                raise BackboneError(f"{graph}: no output {name}; it has {', '.join(self._backend.outputs)}: name those in the JSON")
        self._per_call = FRAMES_PER_CALL if settings.batch == "dynamic" else settings.batch

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
        """The batch size of the graph, or 8 if it is dynamic."""
        return self._per_call

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self._backend.device

    def find(self, images: Sequence[Image]) -> list[Found]:
        """See `Detector.find`."""
        settings = self.settings
        rows = [[fitted(image, settings, fill=settings.fill)] for image in images]
        if settings.batch != "dynamic":
            rows += [rows[-1]] * (settings.batch - len(rows))
        feeds = {settings.input: arranged(rows, settings.layout).astype(self._dtype, copy=False)}
        try:
            outputs = self._backend.infer(feeds)
            found = decoded([outputs[name] for name in settings.names], settings, len(rows))
        except BackendError as err:
            raise BackboneError(
                f"{self._graph}: does not run on {settings.input} {feeds[settings.input].shape} ({err}); compare size and batch of the"
                " JSON with the graph"
            ) from err
        except ValueError as err:
            raise BackboneError(f"{self._graph}: {err}") from err
        return [
            chosen(candidates, settings, place_of(image.shape[0], image.shape[1], settings.size, settings.resize))
            for candidates, image in zip(found, images, strict=False)  # padding of the call is left out
        ]
