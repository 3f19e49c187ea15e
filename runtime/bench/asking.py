"""One request, from the sentences to their moments, with a lap for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from wsra.runtime.bench.timing import Stopwatch
from wsra.runtime.bundle import SpanPlan
from wsra.runtime.features import read_features
from wsra.runtime.ground import Grounder
from wsra.runtime.score import SnippetScorer

STAGES = ("text", "open", "scoring", "selection")


class _WatchedScorer:
    """A scorer whose calls are laps: "open" where it opens keys, else "scoring"."""

    def __init__(self, scorer: SnippetScorer) -> None:
        self._scorer = scorer
        self.watch = Stopwatch()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._scorer, name)
        if not callable(value):
            return value

        def timed(*arguments: Any, **settings: Any) -> Any:
            with self.watch.lap("open" if name == "keys" else "scoring"):
                return value(*arguments, **settings)

        return timed


class Asking:
    """Asks a .feat file whose keys are kept, as `wsra ground` does.

    Args (constructor):
        grounder: the bundle.
        feat: the file; it is opened anew each time.
        queries: sentences, asked together.
        plan: of candidate spans, or None for the bundle's.
    """

    def __init__(self, grounder: Grounder, feat: Path, queries: Sequence[str], *, plan: SpanPlan | None) -> None:
        self._feat, self._queries, self._plan = feat, queries, plan
        self._scorer = _WatchedScorer(grounder.scorer)
        scorer = cast("SnippetScorer", self._scorer)
        self._grounder = Grounder(grounder.manifest, grounder.encoder, scorer, bundle=grounder.bundle, precision=grounder.precision)

    def ask(self) -> Mapping[str, float]:
        """Seconds of `STAGES` and of "answer", which is their sum; "selection" is all that is none of the others."""
        watch = self._scorer.watch = Stopwatch()
        with watch.lap("answer"):
            with watch.lap("text"):
                text = self._grounder.encoder.encode(self._queries)
            with watch.lap("open"):
                features = read_features(self._feat)
            self._grounder.answers_to_vectors(features, self._queries, text, plan=self._plan)
        spent = watch.seconds
        spent["selection"] = spent["answer"] - sum(spent[name] for name in STAGES if name != "selection")
        return spent
