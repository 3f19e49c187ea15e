"""One request, from the sentences to their moments, with a lap for each stage.

Shapes: T snippets, Q queries, N windows, H key width, Dt text width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
        super().__init__(scorer.keys_graph, _TimedKernel(scorer.kernel, watch), made=made)
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
