"""Snippets against sentences: keys once per video, one logit per snippet and query, the scores of spans.

Shapes: T snippets, N spans, Q queries, H key width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Backend
from wsra.runtime.features import Features
from wsra.runtime.spans import pooled_means

Array32 = NDArray[np.float32]
CHUNK = 1024  # rows per call of a graph, so that no (Q, N, H) tensor of a whole video ever stands in memory


class GraphScorer:
    """The scorer as exported graphs; the kernel named "graph" in JSON results.

    Args (constructor):
        keys: features (T, Dv) -> keys (T, H).
        scorer: keys (N, H), text (Q, Dt) -> scores (Q, N), logits (Q, N).
    """

    kernel = "graph"

    def __init__(self, keys: Backend, scorer: Backend) -> None:
        self.keys_graph, self.graph = keys, scorer

    @property
    def provider(self) -> str:
        """What really runs the graphs."""
        return self.graph.provider

    @property
    def device(self) -> str:
        """Where the graphs run: "cpu" or the name of the GPU."""
        return self.graph.device

    def keys(self, features: Features) -> Array32:
        """Keys (T, H) of a video; read chunk by chunk, so a memory map stays on disk.

        Raises:
            FeatureError: a number is NaN or infinite.
        """
        chunks = [
            self.keys_graph.infer({"features": features.rows(start, start + CHUNK)})["keys"] for start in range(0, len(features), CHUNK)
        ]
        return np.concatenate(chunks)

    def logits(self, keys: Array32, text: Array32) -> Array32:
        """Logits (Q, T) of keys (T, H) and text vectors (Q, Dt)."""
        chunks = [
            self.graph.infer({"keys": np.ascontiguousarray(keys[start : start + CHUNK]), "text": text})["logits"]
            for start in range(0, len(keys), CHUNK)
        ]
        return np.concatenate(chunks, axis=1)

    def pooled_scores(self, keys: Array32, text: Array32, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """The paper's score: phi of the mean key of each span.

        Args:
            keys: (T, H).
            text: (1, Dt).
            positions: (N, 2).

        Returns:
            (N,) in (0, 1).
        """
        logits = self.logits(pooled_means(keys, positions).astype(np.float32), text)[0].astype(np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-logits)))
