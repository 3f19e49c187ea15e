"""Where the answers of an evaluation come from: predictions, or a bundle and the features of the videos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import ConfigError, DataError, FeatureError
from wsra.runtime.evaluation.controls import lives_of
from wsra.runtime.evaluation.didemo import ranking_of_scores
from wsra.runtime.evaluation.protocols import DEFAULT_PLANS, ProtocolName, Rules
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.names import feat_of
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.formats.predictions import read_predictions
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.spans.windows import segment_windows

Array = NDArray[np.float64]
SNIPPET_S = 1.0  # of the windows of `seconds` where no features are given


class AnswerSource(Protocol):
    """Answers (n, 3) to annotated queries: start and end in seconds and score, best first.

    Attributes:
        plan: of candidate spans.
        shuffling: what `shuffled` does, for people.
        found: of each query whether the source itself takes it to be present, once `answers` was called; None where that is not known.
    """

    plan: SpanPlan
    shuffling: str
    found: list[bool] | None

    def answers(self) -> list[Array]:
        """An answer to every query."""

    def shuffled(self, others: Sequence[int]) -> list[Array]:
        """An answer to every query that has seen the sentence of another one, given by its number, and not its own."""

    def times_s(self, annotation: Annotation) -> Array:
        """Times (T, 2) of the snippets of a query's video."""

    def lives_s(self, annotation: Annotation) -> Array:
        """Lives (N, 2) of the objects of a query's video, in seconds."""


class PredictionSource:
    """Answers from a file.

    Args (constructor):
        path: predictions as JSON lines.
        annotations: the queries; one without a line has no answer.
        rules: how an answer moves to another video.
        protocol: of the rules.
        plan: of candidate spans, or None for the protocol's.

    Raises:
        DataError: the predictions cannot be used.
        ConfigError: the plan is `tracks`, whose candidates only features of objects know.
    """

    shuffling = "the answer to a query of another video, moved to this one's duration"

    def __init__(
        self, path: Path, annotations: Sequence[Annotation], rules: Rules, *, protocol: ProtocolName, plan: SpanPlan | None
    ) -> None:
        if plan == "tracks":
            raise ConfigError(f"--plan tracks: {path} holds answers, and no lives of objects; choose another plan for chance to draw from")
        found = read_predictions(path, annotations)
        self._answers = [found.get(annotation.qid, np.zeros((0, 3))) for annotation in annotations]
        self._annotations, self._rules = annotations, rules
        self.plan: SpanPlan = plan or DEFAULT_PLANS[protocol]
        self.found: list[bool] | None = None

    def answers(self) -> list[Array]:
        """The predictions."""
        return self._answers

    def shuffled(self, others: Sequence[int]) -> list[Array]:
        """Predictions of other queries."""
        pairs = zip(self._annotations, others, strict=True)
        return [self._rules.moved(self._answers[other], to=own, of=self._annotations[other]) for own, other in pairs]

    def times_s(self, annotation: Annotation) -> Array:
        """Snippets of 1 s."""
        starts = np.arange(max(1, ceil(annotation.duration_s / SNIPPET_S)), dtype=np.float64) * SNIPPET_S
        return np.stack([starts, starts + SNIPPET_S], axis=1)

    def lives_s(self, annotation: Annotation) -> Array:
        """None: answers have no objects."""
        return np.zeros((0, 2))


class BundleSource:
    """Answers of a bundle. A protocol presupposes that each sentence is true of its video, so every candidate counts, found or not.

    Args (constructor):
        grounder: the opened bundle.
        annotations: the queries.
        folder: of .feat files named by video.
        protocol: `didemo` ranks all 21 moments.
        plan: of candidate spans, or None for the bundle's.
        top_k: answers per query.

    Raises:
        DataError: a video has no features.
        ConfigError: the bundle scores lives of objects, and the protocol ranks moments of DiDeMo; or the plan is not the bundle's to use.
    """

    shuffling = "the sentence of a query of another video"

    def __init__(
        self,
        grounder: Grounder,
        annotations: Sequence[Annotation],
        folder: Path,
        *,
        protocol: ProtocolName,
        plan: SpanPlan | None,
        top_k: int,
        progress: Progress = unseen,
    ) -> None:
        self._grounder, self._annotations, self._folder, self._top_k = grounder, annotations, folder, top_k
        self._progress = progress
        self._ranks_all = protocol == "didemo"
        if self._ranks_all and grounder.manifest.span_score == "lives":
            raise ConfigError(f"{grounder.bundle}: scores lives of objects; the protocol didemo ranks 21 moments: choose spans or charades")
        self.plan: SpanPlan = "segments" if self._ranks_all else grounder.planned(plan)
        self.found: list[bool] | None = None
        self._numbers: dict[str, list[int]] = {}
        for number, annotation in enumerate(annotations):
            self._numbers.setdefault(annotation.vid, []).append(number)
        missing = [vid for vid in self._numbers if not os.path.isfile(self._path(vid))]  # noqa: PTH113 (which raises nothing over a name that is too long)
        if missing:
            raise DataError(
                f"{folder}: {len(missing)} of {len(self._numbers)} videos have no features there (the first: {missing[0]}.feat);"
                " run wsra extract or wsra convert"
            )

    def answers(self) -> list[Array]:
        """Answers to the queries."""
        answers, found = self._ask([annotation.query for annotation in self._annotations], "videos")
        self.found = None if self._ranks_all else found
        return answers

    def shuffled(self, others: Sequence[int]) -> list[Array]:
        """Answers to the sentences of other videos."""
        return self._ask([self._annotations[other].query for other in others], "videos, shuffled queries")[0]

    def times_s(self, annotation: Annotation) -> Array:
        """Snippets of the features."""
        with one_file(self._path(annotation.vid), FeatureError):
            return read_features(self._path(annotation.vid)).times_s

    def lives_s(self, annotation: Annotation) -> Array:
        """Lives of the tracks of the features."""
        with one_file(self._path(annotation.vid), FeatureError):
            return lives_of(read_features(self._path(annotation.vid))).lives_s

    def _path(self, vid: str) -> Path:
        return feat_of(self._folder, vid, error=DataError, source="annotations")

    def _ask(self, queries: Sequence[str], label: str) -> tuple[list[Array], list[bool]]:
        """An answer to every query, and whether the bundle finds it."""
        given: list[Array] = [np.zeros((0, 3))] * len(queries)
        found = [False] * len(queries)
        self._progress(label, 0, len(self._numbers))
        for done, (vid, numbers) in enumerate(self._numbers.items(), 1):
            asked = [queries[number] for number in numbers]
            with one_file(self._path(vid), FeatureError):
                features = read_features(self._path(vid))
                answers = self._rank(features, asked) if self._ranks_all else self._candidates(features, asked)
            for number, (answer, is_found) in zip(numbers, answers, strict=True):
                given[number], found[number] = answer, is_found
            self._progress(label, done, len(self._numbers))
        return given, found

    def _candidates(self, features: Features, queries: Sequence[str]) -> list[tuple[Array, bool]]:
        answers = self._grounder.answers(features, queries, top_k=self._top_k, plan=self.plan, false_alarms=np.inf)
        return [(np.array([[m.start_s, m.end_s, m.score] for m in a.moments]).reshape(-1, 3), a.present) for a in answers]

    def _rank(self, features: Features, queries: Sequence[str]) -> list[tuple[Array, bool]]:
        windows = segment_windows()
        ranked = []
        for scores in self._grounder.window_scores(features, queries, windows):
            ranking = ranking_of_scores(scores, features.duration_s)
            falling = np.minimum.accumulate(scores[ranking])
            ranked.append((np.hstack([windows[ranking], falling[:, None]]), True))
        return ranked
