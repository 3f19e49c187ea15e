"""One request, from the sentences to their moments, with a lap for each stage, and the cost of only reading its keys.

Shapes: T snippets, Q queries, N windows, H key width, Dt text width.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.bench.timing import LapTimer
from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.keys import Made
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.kernels.protocol import Array32, Kernel, Keys
from wsra.runtime.spans.sums import Rows
from wsra.runtime.spans.windows import Rung

STAGES = ("text", "open", "scoring", "selection")
PRODUCT, COPY = "product", "copy"
MOST_BYTES = 1 << 29  # of keys in float32, which stand in memory
BLOCK_BYTES = 1 << 20  # fits the cache of a core


class _TimedKernel:
    """A kernel whose calls are laps."""

    def __init__(self, kernel: Kernel, watch: LapTimer) -> None:
        self._kernel, self._watch = kernel, watch

    @property
    def name(self) -> str:
        return self._kernel.name

    @property
    def compiled(self) -> bool:
        return self._kernel.compiled

    def logits(self, keys: Keys, text: Array32) -> Array32:
        with self._watch.lap("scoring"):
            return self._kernel.logits(keys, text)

    def window_logits(self, rows: Rows, ladder: Sequence[Rung], text: Array32) -> list[Array32]:
        with self._watch.lap("scoring"):
            return self._kernel.window_logits(rows, ladder, text)


class _TimedScorer(SnippetScorer):
    """A scorer that counts the opening of keys."""

    def __init__(self, scorer: SnippetScorer, watch: LapTimer, *, made: Made) -> None:
        super().__init__(scorer.keys_graph, _TimedKernel(scorer.kernel, watch), reference=scorer.reference, made=made)
        self._watch = watch

    def keys(self, features: Features) -> NDArray[Any]:
        with self._watch.lap("open"):
            return super().keys(features)


class Asking:
    """Asks a .feat file whose keys are kept, as `wsra ground` does.

    Args (constructor):
        grounder: the bundle.
        feat: the file; it is opened anew each time.
        queries: sentences, asked together.
        plan: of candidate spans, or None for the bundle's.
        made: what the keys are made by.
    """

    def __init__(self, grounder: Grounder, feat: Path, queries: Sequence[str], *, plan: SpanPlan | None, made: Made) -> None:
        self._feat, self._queries, self._plan, self._watch = feat, queries, plan, LapTimer()
        scorer = _TimedScorer(grounder.scorer, self._watch, made=made)
        self._grounder = Grounder(grounder.manifest, grounder.encoder, scorer, bundle=grounder.bundle, precision=grounder.precision)

    def ask(self) -> Mapping[str, float]:
        """Seconds of `STAGES` and of "answer", their sum; "selection" is all that is none of the others."""
        self._watch.seconds.clear()
        with self._watch.lap("selection"):
            with self._watch.lap("text"):
                text = self._grounder.encoder.encode(self._queries)
            with self._watch.lap("open"):
                features = read_features(self._feat)
            self._grounder.answers_to_vectors(features, self._queries, text, plan=self._plan)
        spent = {name: self._watch.seconds[name] for name in STAGES}
        return {**spent, "answer": sum(spent.values())}


class KeyReader:
    """Reads keys (T, H) once.

    Args (constructor):
        keys: float16 or float32, a memory map or in memory.
    """

    def __init__(self, keys: NDArray[Any]) -> None:
        count, width = keys.shape
        self.rows = min(count, max(1, MOST_BYTES // (4 * width)))
        self._scale = count / self.rows
        self._wide = np.array(keys[: self.rows], np.float32)
        self._vector = np.random.default_rng(0).standard_normal(width, dtype=np.float32)
        self._bytes = np.ascontiguousarray(keys).reshape(-1).view(np.uint8)
        self._room = np.empty(BLOCK_BYTES, np.uint8)

    def product(self) -> Mapping[str, float]:
        """Seconds of the BLAS product keys @ vector, float32, in memory; timed over `rows` of them and scaled to all."""
        watch = LapTimer()
        with watch.lap(PRODUCT):
            self._wide @ self._vector
        return {PRODUCT: watch.seconds[PRODUCT] * self._scale}

    def copied(self) -> Mapping[str, float]:
        """Seconds of copying the stored bytes into the cache, block by block, in one thread."""
        watch = LapTimer()
        with watch.lap(COPY):
            for start in range(0, len(self._bytes), BLOCK_BYTES):
                block = self._bytes[start : start + BLOCK_BYTES]
                np.copyto(self._room[: len(block)], block)
        return watch.seconds


def blas_threads() -> int:
    """Threads of the product: what the environment sets for OpenBLAS, the library of NumPy's wheels, else every core.

    OpenBLAS reads it when NumPy is loaded, so `--threads` comes too late for it.
    """
    cores = len(os.sched_getaffinity(0))
    values = (os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"))
    return min(cores, next((int(number) for number in values if number.isdigit() and int(number) > 0), cores))
