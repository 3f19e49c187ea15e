"""Controls for results on features of objects: chance, a fixed window, simple rules, wrong sentences and wrong training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.export.graphs import keys_graph, scorer_graph
from wsra.export.reference import TorchBackend
from wsra.export.theta_from_captions import theta_of
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
from wsra.train.checkpoint import load_checkpoint
from wsra.train.run import TrainingSets

Array = NDArray[np.float64]
TOP = 5
ALWAYS = -1e6  # theta below every logit


@dataclass(frozen=True)
class TestSet:
    """Labelled queries with the features of their videos."""

    __test__ = False  # not a test class of pytest

    annotations: Sequence[Annotation]
    features: dict[str, Features]

    @property
    def truths(self) -> list[Array]:
        """The true spans (M, 2) of each query in seconds."""
        return [np.array(a.windows_s).reshape(-1, 2) for a in self.annotations]

    def answers(self, grounder: Grounder, queries: Sequence[str] | None = None) -> list[Array]:
        """The spans (n, 2) that a model finds for each query, best first; `queries` replaces the sentences."""
        sentences = queries or [a.query for a in self.annotations]
        found: list[Array] = [np.zeros((0, 2))] * len(sentences)
        for vid, features in self.features.items():
            numbers = [i for i, annotation in enumerate(self.annotations) if annotation.vid == vid]
            for i, answer in zip(numbers, grounder.answers(features, [sentences[i] for i in numbers], top_k=TOP), strict=True):
                found[i] = np.array([[m.start_s, m.end_s] for m in answer.moments]).reshape(-1, 2)
        return found

    def figures(self, answers: Sequence[Array], chosen: Sequence[bool] | None = None) -> Figures:
        """Figures over all queries, or over the chosen ones."""
        flags = chosen if chosen is not None else [True] * len(answers)
        pairs = [(a, t) for a, t, flag in zip(answers, self.truths, flags, strict=True) if flag]
        return figures([a for a, _ in pairs], [t for _, t in pairs])


def model_figures(test: TestSet, grounder: Grounder) -> Figures:
    """Figures of a model on the test set."""
    return test.figures(test.answers(grounder))


def scorer_grounder(folder: Path, like: Grounder, prepared: TrainingSets) -> Grounder:
    """Another checkpoint with the text encoder of a bundle, and with theta calibrated in the same way.

    A scorer that does not discriminate, such as a control trained on permuted captions, has no theta; it always answers.
    """
    scorer = load_checkpoint(folder).scorer
    try:
        theta = theta_of(scorer, *prepared.val)
    except DataError:
        theta = ALWAYS
    manifest = replace(like.manifest, theta=theta)
    graphs = SnippetScorer(TorchBackend(keys_graph(scorer)), GraphKernel(TorchBackend(scorer_graph(scorer))))
    return Grounder(manifest, like.encoder, graphs, bundle=folder, precision="torch")


def chance_figures(test: TestSet) -> Figures:
    """The exact expectation of a random ranking of the lives of each query's video; overlapping lives are kept."""
    return chance([lives_of(test.features[a.vid]).lives_s for a in test.annotations], test.truths)


def prior_windows(test: TestSet, training: Sequence[Annotation]) -> list[Array]:
    """For each query (1, 2) the fixed window, in shares of the video, that fits the TRAINING spans best. Unlike wsra, it has seen times."""
    known = [a for a in training if a.windows_s]
    windows = fixed_windows([np.array(a.windows_s) for a in known], [a.duration_s for a in known], count=1)
    return [windows * a.duration_s for a in test.annotations]


def nearest_lives(test: TestSet, windows: Sequence[Array]) -> list[Array]:
    """For each query the lives (n, 2) of its video that overlap its window (1, 2), in order of IoU."""

    def overlaps(lives: Lives, query: int) -> Array:
        return best_iou(lives.lives_s, windows[query])

    return _ranked_lives(test, overlaps, above=0.0)


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


def _ranked_lives(test: TestSet, value: Callable[[Lives, int], Array], *, above: float = -np.inf) -> list[Array]:
    """For each query the lives of its video with the highest values; overlapping ones are dropped as for the model."""
    answers = []
    for query, annotation in enumerate(test.annotations):
        lives = lives_of(test.features[annotation.vid])
        answers.append(lives.lives_s[best_lives(lives, value(lives, query), top_k=TOP, above=above)])
    return answers


def shuffled_queries(test: TestSet, seed: int) -> list[str]:
    """For each query a sentence about another video."""
    others = of_other_videos(test.annotations, seed=seed)
    if others is None:
        raise DataError("all queries are about one video; this control needs sentences of at least two")
    return [test.annotations[number].query for number in others]


def other_event(test: TestSet, seed: int) -> tuple[list[str], list[bool]]:
    """For each query the sentence of another event in the same video, and whether there is one."""
    rng = np.random.default_rng(seed)
    queries, there = [], []
    for annotation in test.annotations:
        others = [b.query for b in test.annotations if b.vid == annotation.vid and b.windows_s != annotation.windows_s]
        there.append(bool(others))
        queries.append(str(rng.choice(others)) if others else annotation.query)
    return queries, there


def control_figures(test: TestSet, grounder: Grounder, training: Sequence[Annotation], *, seed: int = 0) -> dict[str, Figures]:
    """Figures of all controls that need no training.

    Args:
        test: the labelled queries.
        grounder: the model, for the controls with wrong sentences.
        training: annotations of the training split, for the fixed window.
        seed: random seed for the wrong sentences.

    Raises:
        DataError: all queries are about one video, or features are of snippets.
    """
    others, there = other_event(test, seed)
    prior = prior_windows(test, training)
    return {
        "chance": chance_figures(test),
        "prior": test.figures(prior),
        "prior_life": test.figures(nearest_lives(test, prior)),
        "shuffled": test.figures(test.answers(grounder, shuffled_queries(test, seed))),
        "other_event": test.figures(test.answers(grounder, others), there),
        "longest_track": test.figures(longest_lives(test)),
        "largest_track": test.figures(largest_lives(test)),
    }
