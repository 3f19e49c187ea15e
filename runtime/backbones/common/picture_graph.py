"""A graph whose input is pictures, an encoder's or a detector's: opened, checked against its JSON, and fed with rows of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from wsra.runtime.backbones.common.graph_input import InputSettings, input_dtype
from wsra.runtime.backbones.common.pixels import arranged
from wsra.runtime.backbones.common.profile import rows_profile
from wsra.runtime.backbones.tracking.background import Image
from wsra.runtime.backends.open_graph import open_graph
from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.backends.settings import GraphSettings
from wsra.runtime.errors import BackboneError, BackendError

Row = list[Image]  # the frames of one row of a call, at the size of the input


class PictureGraph:
    """An open graph with one input, whose first axis is the rows of a call. Each row is a picture or, for a clip encoder, several.

    Args (constructor):
        settings: the settings of the JSON.
        graph: the ONNX file.
        run: how it runs.
        what: "an encoder" or "a detector", for messages.
        keys: the JSON keys that determine the input's shape, for messages.
        outputs: names of the outputs that the JSON names.
        usual: rows of a full call of ONNX Runtime, if the number is dynamic.
        frames: frames of a row.

    Attributes:
        per_call: rows of a full call: of the JSON, or if that is "dynamic", the largest of the engine, or `usual` in ONNX Runtime.

    Raises:
        BackboneError: the settings do not match the graph.
        BackendError, MissingExtraError: see `open_graph`.
    """

    def __init__(
        self,
        settings: InputSettings,
        graph: Path,
        run: GraphSettings,
        *,
        what: str,
        keys: str,
        outputs: Sequence[str],
        usual: int,
        frames: int = 1,
    ) -> None:
        self._settings, self._graph = settings, graph
        self._open = open_graph(graph, run, profile=rows_profile(settings, frames=frames, most=usual))
        self._backend = self._open.backend
        self._dtype = input_dtype(self._backend, settings, graph, what=what, keys=keys, frames=frames)
        for name in outputs:
            if name not in self._backend.outputs:
                raise BackboneError(f"{graph}: no output {name}; it has {', '.join(self._backend.outputs)}: name those in the JSON")
        self.per_call = self._open.most(usual if settings.batch == "dynamic" else settings.batch)

    @property
    def provider(self) -> str:
        """The provider or library that runs it."""
        return self._backend.provider

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self._backend.device

    def filled(self, count: int) -> int:
        """Rows of a call for `count` rows of pictures: more than those where the graph needs more."""
        return self._open.filled(count) if self._settings.batch == "dynamic" else self._settings.batch

    def prepare(self, rows: Sequence[Row]) -> NDArray[Any]:
        """The input of one call.

        Args:
            rows: resized frames of each row (`pixels.resized`), one to `per_call` rows.

        Returns:
            The rows in the layout, colours, scale and dtype of the input, filled up with the last row where the graph needs more.
        """
        return arranged([*rows, *[rows[-1]] * (self.filled(len(rows)) - len(rows))], self._settings, self._dtype)

    def infer(self, pixels: NDArray[Any]) -> Arrays:
        """Run one call on what `prepare` gave.

        Returns:
            Output -> array, with the filling.

        Raises:
            BackboneError: the graph does not run.
        """
        try:
            return self._backend.infer({self._settings.input: pixels})
        except BackendError as err:
            raise BackboneError(
                f"{self._graph}: does not run on {self._settings.input} {pixels.shape} ({err}); compare size and batch of the JSON with"
                " the graph"
            ) from err
