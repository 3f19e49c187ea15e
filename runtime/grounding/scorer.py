"""Rows of features against sentences: keys once per video, one logit per row and query.

Shapes: T rows, N windows, Q queries, H key width, Dt text width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.protocol import Backend
from wsra.runtime.errors import BackendError
from wsra.runtime.files.mapping import intact
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.keys import KeyStore, Made, keys_in_memory
from wsra.runtime.grounding.presence import levels
from wsra.runtime.grounding.recording import Recording, RecordingRows
from wsra.runtime.kernels.choose import AutoKernel
from wsra.runtime.kernels.graph import CHUNK, GraphKernel
from wsra.runtime.kernels.protocol import Kernel, Keys
from wsra.runtime.spans.sums import BlockSums
from wsra.runtime.spans.windows import Rung

Array32 = NDArray[np.float32]
WINDOWS = 1024  # pooled windows whose means stand in memory together


class SnippetScorer:
    """Keys from a graph, logits from a kernel.

    Attributes:
        kernel: keys and sentences -> logits.
        reference: keys (N, H) of other videos, over which a sentence has its level.

    Args (constructor):
        keys_graph: features (T, Dv) -> keys (T, H).
        kernel: as above.
        reference: as above.
        made: what the keys are made by, to keep them next to the features; None keeps them in memory.
        chunk: rows per call of the graph; engines take at most 1,024.
    """

    def __init__(self, keys_graph: Backend, kernel: Kernel, *, reference: Keys, made: Made | None = None, chunk: int = CHUNK) -> None:
        self.keys_graph, self.kernel, self.reference, self._chunk = keys_graph, kernel, reference, chunk
        self._store = KeyStore(width=self.key_width, made=made) if made is not None else None

    @property
    def provider(self) -> str:
        """What really runs the graphs."""
        return self.keys_graph.provider

    @property
    def device(self) -> str:
        """Where the graphs run: "cpu" or the name of the GPU."""
        return self.keys_graph.device

    def expect(self, rows: int, queries: int) -> None:
        """Say how much will be scored; a kernel that depends on the amount of work is chosen for it.

        Args:
            rows: of features, of all recordings together.
            queries: sentences.
        """
        if isinstance(self.kernel, AutoKernel):
            self.kernel.expect(rows * self.key_width * queries)

    @property
    def key_width(self) -> int:
        """Numbers per key, H."""
        return int(self.keys_graph.outputs["keys"].shape[1])

    @property
    def graphs(self) -> tuple[Backend, ...]:
        """The graphs that this scorer runs."""
        return (self.keys_graph, self.kernel.graph) if isinstance(self.kernel, GraphKernel) else (self.keys_graph,)

    def keys(self, features: Features) -> NDArray[Any]:
        """Keys (T, H) of a video, float16, or float32 where float16 does not hold them; read chunk by chunk, so a map stays on disk.

        Raises:
            FeatureError: a number is NaN or infinite.
            BackendError: the graph fails, or gives numbers that are not finite.
        """

        def chunks() -> Iterator[Array32]:
            for start in range(0, len(features), self._chunk):
                rows = features.rows(start, start + self._chunk)
                keys = self.keys_graph.infer({"features": rows})["keys"]
                expected = len(rows), self.key_width
                if keys.shape != expected:
                    raise BackendError(f"the graph of keys gives {keys.shape}; expected {expected}: export the bundle again")
                yield keys

        if len(features) == 0:  # nothing moved
            return np.zeros((0, self.key_width), np.float16)
        return keys_in_memory(features, chunks) if self._store is None else self._store.keys(features, chunks)

    def rows(self, recording: Recording) -> RecordingRows:
        """Keys (T, H) of a recording, read in slices."""
        lengths = [len(part) for part in recording.parts]
        return RecordingRows(lengths, width=self.key_width, rows=lambda number: self._part(recording, number))

    def logits(self, recording: Recording, text: Array32) -> Array32:
        """Logits (Q, T) of all snippets of a recording; one part is open at a time.

        Raises:
            FeatureError: a file cannot be read, or a number is NaN or infinite.
            BackendError: the graph fails, or gives keys that are not finite.
        """
        if len(recording.parts) == 1:  # a month of one file is not copied
            return self._logits(recording, 0, text)
        logits, row = np.empty((len(text), len(recording)), np.float32), 0
        for number, part in enumerate(recording.parts):
            logits[:, row : row + len(part)] = self._logits(recording, number, text)
            row += len(part)
        return logits

    def levels(self, text: Array32) -> NDArray[np.float64]:
        """The level (Q,) of each sentence: what any video gives for it."""
        return levels(self.kernel.logits(self.reference, text))

    def ladder_logits(self, recording: Recording, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        """Logits (Q, N) of the mean keys of every window of a ladder, rung by rung; errors as of `logits`."""
        with intact():
            return self.kernel.window_logits(self.rows(recording), ladder, text)

    def pooled_logits(self, recording: Recording, positions: NDArray[np.float64], text: Array32) -> Array32:
        """Logits (Q, N) of the mean keys of spans (N, 2); errors as of `logits`."""
        logits = np.empty((len(text), len(positions)), np.float32)
        with intact():
            sums = BlockSums(self.rows(recording))
            for first in range(0, len(positions), WINDOWS):
                means = sums.means(positions[first : first + WINDOWS]).astype(np.float32)
                logits[:, first : first + WINDOWS] = self.kernel.logits(means, text)
        return logits

    def _logits(self, recording: Recording, number: int, text: Array32) -> Array32:
        if len(recording.parts[number]) == 0:
            return np.zeros((len(text), 0), np.float32)
        with intact():
            return self.kernel.logits(self._part(recording, number), text)

    def _part(self, recording: Recording, number: int) -> NDArray[Any]:
        """Keys of a part; what is kept are those of its whole video."""
        part = recording.parts[number]
        kept = self._store.kept(part.file) if self._store is not None and part.file is not None else None
        return (self.keys(part.features()) if kept is None else kept)[part.first : part.last]
