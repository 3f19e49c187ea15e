"""Running an encoder: it turns pictures into embeddings, several per call, in ONNX Runtime or as an engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.picture_graph import PictureGraph, Row
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.settings import ON_CPU, GraphSettings
from wsra.runtime.errors import BackboneError

FRAMES_PER_CALL = 16  # for a dynamic batch in ONNX Runtime; a clip encoder gets at least one clip
FOLLOWS = "gathering"  # the stage after inference: embeddings become rows


class Encoder:
    """An ONNX encoder for images or clips.

    Args (constructor):
        settings: settings of the encoder.
        graph: the ONNX file.
        run: how it runs.

    Attributes:
        pictures: the open graph.

    Raises:
        BackboneError: the settings do not match the graph.
        BackendError, MissingExtraError: see `open_graph`.
    """

    def __init__(self, settings: EncoderSettings, graph: Path, run: GraphSettings = ON_CPU) -> None:
        self.settings = settings
        self.graph = graph
        self.pictures = PictureGraph(
            settings,
            graph,
            run,
            what="an encoder",
            keys=f"layout {settings.layout}, size and frames",
            outputs=(settings.output,),
            usual=max(1, FRAMES_PER_CALL // settings.frames),
            frames=settings.frames,
        )
        self.per_call = self.pictures.per_call

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self.pictures.device

    def prepare(self, rows: Sequence[Row]) -> NDArray[Any]:
        """The input of one call, for `embeddings`; see `PictureGraph.prepare`."""
        return self.pictures.prepare(rows)

    def embeddings(self, pixels: NDArray[Any], count: int) -> list[NDArray[np.float32]]:
        """Encode rows in one call.

        Args:
            pixels: the input, from `prepare`.
            count: number of rows without the filling.

        Returns:
            (D,) for each row, of length 1 if the settings say so.

        Raises:
            BackboneError: the output does not match the settings, or is not finite.
        """
        settings, rows = self.settings, len(pixels)
        out = np.asarray(self.pictures.infer(pixels)[settings.output])
        axis = settings.output_axis
        if out.ndim <= axis or out.shape[0] != rows or out.shape[axis] != settings.width:
            raise BackboneError(
                f"{self.graph}: {settings.output} is {out.shape} for {rows} rows; expected {rows} on axis 0 and the width"
                f" {settings.width} on axis {axis}: set width and output_axis, or choose another output"
            )
        out = np.moveaxis(out, axis, 1)[:count].astype(np.float32)
        vectors = out.reshape(count, settings.width, -1).mean(axis=2)
        if not np.isfinite(vectors).all():
            raise BackboneError(
                f"{self.graph}: {settings.output} holds NaN or infinite numbers; compare scale, mean and std with the encoder's own,"
                " and in half precision try the FP32 graph"
            )
        if settings.normalise == "l2":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return list(vectors)
