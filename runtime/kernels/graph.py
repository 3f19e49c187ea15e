"""The kernel "graph": the exported scorer, on whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wsra.runtime.backends.protocol import Backend
from wsra.runtime.kernels.protocol import Array32, Keys, logits_of_means
from wsra.runtime.spans.sums import Rows, widen
from wsra.runtime.spans.windows import Rung

CHUNK = 1024  # rows per call of a graph, so that no (Q, N, H) tensor of a whole video ever stands in memory
MOST_QUERIES = 8  # sentences per call; engines are built for as many


class GraphKernel:
    """Scores chunk by chunk.

    Args (constructor):
        graph: keys (N, H), text (Q, Dt) -> scores (Q, N), logits (Q, N).
        chunk: rows per call; engines take at most 1,024.
    """

    name = "graph"
    compiled = False

    def __init__(self, graph: Backend, *, chunk: int = CHUNK) -> None:
        self.graph, self._chunk = graph, chunk

    def logits(self, keys: Keys, text: Array32) -> Array32:
        """See `Kernel.logits`."""
        out = np.empty((len(text), len(keys)), np.float32)
        for start in range(0, len(keys), self._chunk):
            rows = np.empty((min(self._chunk, len(keys) - start), keys.shape[1]), np.float32)
            widen(keys[start : start + len(rows)], rows)
            for first in range(0, len(text), MOST_QUERIES):
                feeds = {"keys": rows, "text": np.ascontiguousarray(text[first : first + MOST_QUERIES])}
                out[first : first + MOST_QUERIES, start : start + len(rows)] = self.graph.infer(feeds)["logits"]
        return out

    def window_logits(self, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        """See `Kernel.window_logits`."""
        return logits_of_means(self, rows, ladder, text)
