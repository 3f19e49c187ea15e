"""Running an ONNX encoder: it turns prepared pictures into embeddings, several per call."""

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

FRAMES_PER_CALL = 16  # for a dynamic batch; a clip encoder gets at least one clip

Row = list[NDArray[np.float32]]  # the prepared frames of one row of a call


class Encoder:
    """An ONNX encoder for images or clips.

    Args (constructor):
        settings: settings of the encoder.
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
        self, settings: EncoderSettings, graph: Path, *, provider: str = "cpu", threads: int = 0, allow_fallback: bool = False
    ) -> None:
        self.settings = settings
        self.graph = graph
        self._backend: Backend = OrtBackend(graph, provider=provider, threads=threads, allow_fallback=allow_fallback)
        keys = f"layout {settings.layout}, size and frames"
        self._dtype = input_dtype(self._backend, settings, graph, what="an encoder", keys=keys, frames=settings.frames)
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
            rows: prepared frames of each row (`pixels.fitted`); at most `per_call` rows.

        Returns:
            (D,) for each row, of length 1 if the settings say so.

        Raises:
            BackboneError: the output does not match the settings, or is not finite.
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
