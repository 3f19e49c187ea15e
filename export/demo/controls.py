"""Controls for results on features of objects: chance, simple rules, wrong sentences and other training. Every candidate counts.

A control that leaves queries out looks worse than it is. So every control must answer wherever there is a candidate; only `shuffled` is
also reported as the bundle answers by itself, to show how many wrong sentences it refuses. checks.py tests that no control is degenerate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsra.export.graphs import keys_graph, scorer_graph
from wsra.export.reference import TorchBackend
from wsra.runtime.errors import DataError
from wsra.runtime.evaluation.controls import fixed_windows, lives_of, of_other_videos
from wsra.runtime.evaluation.metrics import Figures, chance, figures
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.lives import Lives, best_lives
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.spans.moments import best_iou
from wsra.train.base_scorer import BaseScorer
from wsra.train.checkpoint import load_checkpoint, load_last

Array = NDArray[np.float64]
TOP = 5
ALWAYS = 1e9  # intercept above every presence score


@dataclass(frozen=True)
class Control:
    """What a control answers, and how well.

    Attributes:
        first: for each query (K, 2) the spans that its first answer may be, all equally likely; (0, 2) if it has no answer.
        asked: for each query the number of the query whose sentence it was asked; None if it does not read sentences.
        chosen: for each query whether it counts.
        figures: over the queries that count.
    """

    first: Sequence[Array]
    asked: Sequence[int] | None
    chosen: Sequence[bool]
    figures: Figures

    @property
    def unanswered(self) -> int:
        """Number of queries that count and have no answer."""
        return sum(len(spans) == 0 for spans, counts in zip(self.first, self.chosen, strict=True) if counts)

    def row(self) -> dict[str, Any]:
        """The figures and the number of unanswered queries, for the report."""
        return {**vars(self.figures), "unanswered": self.unanswered}


@dataclass(frozen=True)
class TestSet:
    """Labelled queries with the features of their videos."""

    __test__ = False  # not a test class of pytest

    annotations: Sequence[Annotation]
    features: dict[str, Features]

    @cached_property
    def truths(self) -> list[Array]:
        """The true spans (M, 2) of each query in seconds."""
        return [np.array(a.windows_s).reshape(-1, 2) for a in self.annotations]

    @cached_property
    def lives(self) -> list[Array]:
        """The lives (N, 2) of the objects in each query's video.

        Raises:
            DataError: features are of snippets.
        """
        return [lives_of(self.features[a.vid]).lives_s for a in self.annotations]

    def answers(self, grounder: Grounder, queries: Sequence[str] | None = None, *, text: NDArray[np.float32] | None = None) -> list[Array]:
        """The spans (n, 2) that a model finds for each query, best first.

        Args:
            grounder: the model.
            queries: sentences that replace those of the queries.
            text: (Q, Dt) the vectors of the sentences, if they are encoded already.
        """
        sentences = queries or [a.query for a in self.annotations]
        vectors = grounder.encoder.encode(sentences) if text is None else text
        found: list[Array] = [np.zeros((0, 2))] * len(sentences)
        for vid, features in self.features.items():
            numbers = [i for i, annotation in enumerate(self.annotations) if annotation.vid == vid]
            answers = grounder.answers_to_vectors(features, [sentences[i] for i in numbers], vectors[numbers], top_k=TOP)
            for i, answer in zip(numbers, answers, strict=True):
                found[i] = np.array([[m.start_s, m.end_s] for m in answer.moments]).reshape(-1, 2)
        return found

    def figures(self, answers: Sequence[Array], chosen: Sequence[bool] | None = None) -> Figures:
        """Figures over all queries, or over the chosen ones."""
        flags = chosen if chosen is not None else [True] * len(answers)
        return figures(_chosen(answers, flags), _chosen(self.truths, flags))

    def ranked(self, answers: Sequence[Array], *, asked: Sequence[int] | None = None, chosen: Sequence[bool] | None = None) -> Control:
        """A control that ranks spans: for each query (n, 2), best first; `asked` and `chosen` as in `Control`, all queries by default."""
        flags = chosen if chosen is not None else [True] * len(answers)
        return Control([spans[:1] for spans in answers], asked, flags, self.figures(answers, flags))

    def drawn(self, plans: Sequence[Array], *, asked: Sequence[int] | None = None, chosen: Sequence[bool] | None = None) -> Control:
        """A control that ranks the spans (N, 2) of each query in random order; its figures are the exact expectation."""
        flags = chosen if chosen is not None else [True] * len(plans)
        return Control(plans, asked, flags, chance(_chosen(plans, flags), _chosen(self.truths, flags)))


def _chosen(items: Sequence[Array], flags: Sequence[bool]) -> list[Array]:
    return [item for item, flag in zip(items, flags, strict=True) if flag]


def forced(grounder: Grounder) -> Grounder:
    """The same model with answers forced: every candidate counts, whatever its score. It borrows the graphs of `grounder`."""
    manifest = replace(grounder.manifest, presence=replace(grounder.manifest.presence, intercept=ALWAYS))
    return Grounder(manifest, grounder.encoder, grounder.scorer, bundle=grounder.bundle, precision=grounder.precision)


def forced_scorer(scorer: BaseScorer, like: Grounder) -> Grounder:
    """Another scorer with the text encoder of a bundle, with answers forced."""
    backends = TorchBackend(keys_graph(scorer)), TorchBackend(scorer_graph(scorer))
    graphs = SnippetScorer(backends[0], GraphKernel(backends[1]), reference=like.scorer.reference)
    return forced(Grounder(like.manifest, like.encoder, graphs, bundle=like.bundle, precision="torch"))


def last_scorer(folder: Path) -> BaseScorer:
    """The scorer of a run after its last epoch.

    The best epoch on validation is no choice for a run on permuted captions: nothing can be learned that validation confirms, so the best
    one is whichever the draw favours, often the first, when the scorer has hardly changed.

    Raises:
        ConfigError: the folder is not a checkpoint, or it is damaged.
    """
    scorer = load_checkpoint(folder).scorer
    load_last(folder, scorer, torch.optim.Adam(scorer.parameters()), torch.Generator())
    return scorer


def prior_windows(test: TestSet, training: Sequence[Annotation]) -> list[Array]:
    """For each query (1, 2) the fixed window, in shares of the video, that fits the TRAINING spans best. Unlike wsra, it has seen times."""
    known = [a for a in training if a.windows_s]
    windows = fixed_windows([np.array(a.windows_s) for a in known], [a.duration_s for a in known], count=1)
    return [windows * a.duration_s for a in test.annotations]


def nearest_lives(test: TestSet, windows: Sequence[Array]) -> list[Array]:
    """For each query the lives (n, 2) of its video in order of IoU with its window (1, 2); those that do not overlap it, by distance."""

    def nearness(lives: Lives, query: int) -> Array:
        ious, window = best_iou(lives.lives_s, windows[query]), windows[query][0]
        gaps_s = np.maximum(lives.lives_s[:, 0] - window[1], window[0] - lives.lives_s[:, 1])
        return np.where(ious > 0, ious, -np.maximum(gaps_s, 0.0))

    return _ranked_lives(test, nearness)


def longest_lives(test: TestSet) -> list[Array]:
    """For each query the longest lives (n, 2) of its video."""
    return _ranked_lives(test, lambda lives, _: np.asarray(lives.lives_s[:, 1] - lives.lives_s[:, 0]))


def largest_lives(test: TestSet) -> list[Array]:
    """For each query the lives (n, 2) of the largest objects in the picture, by the mean area of their boxes."""

    def areas(lives: Lives, query: int) -> Array:
        tracks = test.features[test.annotations[query].vid].tracks
        assert tracks is not None
        sides = np.asarray(tracks.boxes[:, 2:] - tracks.boxes[:, :2], np.float64)
        sums = np.bincount(lives.of_row, weights=sides.prod(axis=1), minlength=len(lives))
        return np.asarray(sums / np.bincount(lives.of_row, minlength=len(lives)))

    return _ranked_lives(test, areas)


def _ranked_lives(test: TestSet, value: Callable[[Lives, int], Array]) -> list[Array]:
    """For each query the lives of its video with the highest values; overlapping ones are dropped as for the model."""
    answers = []
    for query, annotation in enumerate(test.annotations):
        lives = lives_of(test.features[annotation.vid])
        answers.append(lives.lives_s[best_lives(lives, value(lives, query), top_k=TOP, above=-np.inf)])
    return answers


def shuffled_queries(test: TestSet, seed: int) -> list[int]:
    """For each query the number of a query about another video.

    Raises:
        DataError: all queries are about one video.
    """
    others = of_other_videos(test.annotations, seed=seed)
    if others is None:
        raise DataError("all queries are about one video; this control needs sentences of at least two")
    return others


def other_event(test: TestSet, seed: int) -> tuple[list[int], list[bool]]:
    """For each query the number of a query about another event of the same video, and whether there is one; if not, its own number."""
    rng = np.random.default_rng(seed)
    numbers, there = [], []
    for number, annotation in enumerate(test.annotations):
        others = [i for i, b in enumerate(test.annotations) if b.vid == annotation.vid and b.windows_s != annotation.windows_s]
        there.append(bool(others))
        numbers.append(int(rng.choice(others)) if others else number)
    return numbers, there


def life_controls(test: TestSet, training: Sequence[Annotation]) -> dict[str, Control]:
    """The controls that do not read sentences.

    Args:
        test: the labelled queries.
        training: annotations of the training split, for the fixed window.

    Raises:
        DataError: features are of snippets.
    """
    prior = prior_windows(test, training)
    return {
        "chance": test.drawn(test.lives),
        "prior": test.ranked(prior),
        "prior_life": test.ranked(nearest_lives(test, prior)),
        "longest_track": test.ranked(longest_lives(test)),
        "largest_track": test.ranked(largest_lives(test)),
    }


def sentence_controls(test: TestSet, grounder: Grounder, text: NDArray[np.float32], *, seed: int = 0) -> dict[str, Control]:
    """The model's answers to wrong sentences.

    Args:
        test: the labelled queries.
        grounder: the model, with its own presence.
        text: (Q, Dt) vectors of the queries.
        seed: random seed for the choice of wrong sentences.

    Raises:
        DataError: all queries are about one video.
    """

    def answers(model: Grounder, asked: Sequence[int]) -> list[Array]:
        return test.answers(model, [test.annotations[number].query for number in asked], text=text[list(asked)])

    shuffled, (others, there) = shuffled_queries(test, seed), other_event(test, seed)
    always = forced(grounder)
    return {
        "shuffled": test.ranked(answers(grounder, shuffled), asked=shuffled),
        "shuffled_forced": test.ranked(answers(always, shuffled), asked=shuffled),
        "other_event": test.ranked(answers(always, others), asked=others, chosen=there),
    }


def own_sentences(test: TestSet, grounder: Grounder, text: NDArray[np.float32]) -> Control:
    """The answers of a model to the queries themselves; `text` as in `sentence_controls`."""
    return test.ranked(test.answers(grounder, text=text), asked=range(len(test.annotations)))
