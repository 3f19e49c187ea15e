"""Snippets against sentences: keys once per video, one logit per snippet and query.

Shapes: T snippets, Q queries, H key width, Dt text width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Backend
from wsra.runtime.features import Features
from wsra.runtime.kernels.graph import CHUNK, GraphKernel
from wsra.runtime.kernels.protocol import Kernel
from wsra.runtime.keys import Made, kept_keys, keys_in_memory

Array32 = NDArray[np.float32]


class SnippetScorer:
    """Keys from a graph, logits from a kernel.

    Args (constructor):
        keys_graph: features (T, Dv) -> keys (T, H).
        kernel: keys and sentences -> logits.
        made: what the keys are made by, to keep them beside the features; None keeps them in memory.
        chunk: rows per call of the graph; engines take at most 1,024.
    """

    def __init__(self, keys_graph: Backend, kernel: Kernel, *, made: Made | None = None, chunk: int = CHUNK) -> None:
        self.keys_graph, self._kernel, self._made, self._chunk = keys_graph, kernel, made, chunk

    @property
    def provider(self) -> str:
        """What really runs the graphs."""
        return self.keys_graph.provider

    @property
    def device(self) -> str:
        """Where the graphs run: "cpu" or the name of the GPU."""
        return self.keys_graph.device

    @property
    def kernel(self) -> str:
        """What scores snippets: "numba", "numpy" or "graph"."""
        return self._kernel.name

    @property
    def key_width(self) -> int:
        """Numbers per key, H."""
        return int(self.keys_graph.outputs["keys"].shape[1])

    @property
    def graphs(self) -> tuple[Backend, ...]:
        """What is held open; on a GPU it holds memory there."""
        return (self.keys_graph, self._kernel.graph) if isinstance(self._kernel, GraphKernel) else (self.keys_graph,)

    def keys(self, features: Features) -> NDArray[Any]:
        """Keys (T, H) of a video, float16, or float32 where float16 does not hold them; read chunk by chunk, so a map stays on disk.

        Raises:
            FeatureError: a number is NaN or infinite.
            BackendError: the graph fails, or gives numbers that are not finite.
        """

        def chunks() -> Iterator[Array32]:
            for start in range(0, len(features), self._chunk):
                yield self.keys_graph.infer({"features": features.rows(start, start + self._chunk)})["keys"]

        if self._made is None:
            return keys_in_memory(features, chunks)
        return kept_keys(features, chunks, width=self.key_width, made=self._made)

    def logits(self, keys: NDArray[Any], text: Array32) -> Array32:
        """Logits (Q, T) of keys (T, H) and text vectors (Q, Dt)."""
        return self._kernel.logits(keys, text)
