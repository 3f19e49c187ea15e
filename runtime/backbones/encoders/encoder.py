"""An ONNX encoder as its settings say: prepared pictures in, an embedding for each out, so many in a call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.graph_input import input_dtype
from wsra.runtime.backbones.common.pixels import arranged
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.protocol import Backend
from wsra.runtime.errors import BackboneError, BackendError

FRAMES_PER_CALL = 16  # of a graph that takes any number; of a clip encoder at least one clip

Row = list[NDArray[np.float32]]  # the fitted frames of one row of a call


class Encoder:
    """An ONNX encoder of images or clips.

    Args (constructor):
        settings: how it is used.
        graph: the ONNX file.
        provider: of ONNX Runtime: "cpu", "cuda" or "tensorrt".
        threads: on the CPU; 0 lets ONNX Runtime decide.
        allow_fallback: run on the CPU where the provider cannot be had.

    Raises:
        BackboneError: the settings do not fit the graph.
        BackendError: ONNX Runtime refuses the graph, or the provider cannot be had.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(
        self, settings: EncoderSettings, graph: Path, *, provider: str = "cpu", threads: int = 0, allow_fallback: bool = False
    ) -> None:
        self.settings = settings
        self.graph = graph
        self._backend: Backend = OrtBackend(graph, provider=provider, threads=threads, allow_fallback=allow_fallback)
        told_by = f"layout {settings.layout}, size and frames"
        self._dtype = input_dtype(self._backend, settings, graph, what="an encoder", told_by=told_by, frames=settings.frames)
        if settings.output not in self._backend.outputs:
            has = ", ".join(self._backend.outputs)
            raise BackboneError(f"{graph}: no output {settings.output}; it has {has}: name one of them in the JSON")
        self.per_call = max(1, FRAMES_PER_CALL // settings.frames) if settings.batch == "dynamic" else settings.batch

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self._backend.device

    def embeddings(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Encode rows in one call.

        Args:
            rows: their fitted frames (`pixels.fitted`), `per_call` rows at most.

        Returns:
            Of each row (D,), of length 1 where the settings say so.

        Raises:
            BackboneError: what comes out is not what the settings say, or is not finite.
        """
        settings = self.settings
        filled = [*rows, *[rows[-1]] * (self.per_call - len(rows))] if settings.batch != "dynamic" else rows
        feeds = {settings.input: arranged(filled, settings.layout).astype(self._dtype, copy=False)}
        try:
            out = np.asarray(self._backend.infer(feeds)[settings.output])
        except BackendError as err:
            raise BackboneError(
                f"{self.graph}: does not run on {settings.input} {feeds[settings.input].shape} ({err}); compare size, frames and batch"
                " of the JSON with the graph"
            ) from err
        axis = settings.output_axis
        if out.ndim <= axis or out.shape[0] != len(filled) or out.shape[axis] != settings.width:
            raise BackboneError(
                f"{self.graph}: {settings.output} is {out.shape} for {len(filled)} rows; expected {len(filled)} on axis 0 and the width"
                f" {settings.width} on axis {axis}: set width and output_axis, or choose another output"
            )
        out = np.moveaxis(out, axis, 1)[: len(rows)].astype(np.float32)
        vectors = out.reshape(len(rows), settings.width, -1).mean(axis=2)
        if not np.isfinite(vectors).all():
            raise BackboneError(
                f"{self.graph}: {settings.output} holds NaN or infinite numbers; compare scale, mean and std with the encoder's own,"
                " and in half precision try the FP32 graph"
            )
        if settings.normalise == "l2":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return list(vectors)
