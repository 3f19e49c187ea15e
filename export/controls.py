"""What stands beside the result: chance, a fixed window, motion alone, wrong sentences, wrong training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.calib.threshold import calibrate_theta
from wsra.export.base import theta_of
from wsra.export.graphs import keys_graph, scorer_graph
from wsra.export.reference import TorchBackend
from wsra.runtime.annotations import Annotation
from wsra.runtime.backbones.motion import FEATURE_NAMES
from wsra.runtime.errors import DataError
from wsra.runtime.evaluation.controls import fixed_windows, of_other_videos, plan_windows
from wsra.runtime.evaluation.metrics import Figures, chance, figures
from wsra.runtime.features import Features
from wsra.runtime.ground import Grounder
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.maximal import maximal_spans
from wsra.runtime.moments import best_first
from wsra.runtime.score import SnippetScorer
from wsra.runtime.windows import Timeline
from wsra.train.checkpoint import load_checkpoint
from wsra.train.run import Prepared

Array = NDArray[np.float64]
TOP = 5


@dataclass(frozen=True)
class TestSet:
    """Labelled queries with the features of their videos."""

    __test__ = False  # not a test class of pytest

    annotations: Sequence[Annotation]
    features: dict[str, Features]

    @property
    def truths(self) -> list[Array]:
        """Per query its true spans (M, 2) in seconds."""
        return [np.array(a.windows_s).reshape(-1, 2) for a in self.annotations]

    def answers(self, grounder: Grounder, queries: Sequence[str] | None = None) -> list[Array]:
        """Per query the spans (n, 2) that a model finds, best first; `queries` replaces the sentences."""
        asked = queries or [a.query for a in self.annotations]
        found: list[Array] = [np.zeros((0, 2))] * len(asked)
        for vid, features in self.features.items():
            numbers = [i for i, annotation in enumerate(self.annotations) if annotation.vid == vid]
            for i, answer in zip(numbers, grounder.answers(features, [asked[i] for i in numbers], top_k=TOP), strict=True):
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


def scorer_grounder(folder: Path, like: Grounder, prepared: Prepared) -> Grounder:
    """Another checkpoint behind the text encoder of a bundle, its theta calibrated in the same way."""
    scorer = load_checkpoint(folder).scorer
    manifest = replace(like.manifest, theta=theta_of(scorer, *prepared.val))
    graphs = SnippetScorer(TorchBackend(keys_graph(scorer)), GraphKernel(TorchBackend(scorer_graph(scorer))))
    return Grounder(manifest, like.encoder, graphs, bundle=folder, precision="torch")


def chance_figures(test: TestSet) -> Figures:
    """Exact expectation of a random ranking of the windows of the `seconds` plan."""
    plans = [plan_windows("seconds", a.duration_s, test.features[a.vid].times_s) for a in test.annotations]
    return chance(plans, test.truths)


def prior_figures(test: TestSet, training: Sequence[Annotation]) -> Figures:
    """The one window, in shares of the video, that fits the TRAINING spans best; it has seen times, which wsra has not."""
    known = [a for a in training if a.windows_s]
    windows = fixed_windows([np.array(a.windows_s) for a in known], [a.duration_s for a in known], count=1)
    return test.figures([windows * a.duration_s for a in test.annotations])


def motion_curve(features: Features) -> Array:
    """How much moves: ln of the foreground's share of the frame, so that a person counts beside a van. The strongest of the forms tried."""
    share = features.values[:, FEATURE_NAMES.index("scene: foreground")]
    return np.asarray(np.log(np.asarray(share, np.float64) + 1e-4))


def motion_figures(test: TestSet, val: Sequence[Features]) -> Figures:
    """Spans ranked by how much moves, with the span score and the theta rule of the model."""
    theta = calibrate_theta([motion_curve(features) for features in val])
    answers = []
    for annotation in test.annotations:
        features = test.features[annotation.vid]
        positions, scores = maximal_spans(motion_curve(features), theta)
        best = best_first(scores)[:TOP]
        answers.append(np.stack(Timeline(features.times_s).seconds(positions[best, 0], positions[best, 1]), axis=1))
    return test.figures(answers)


def shuffled_queries(test: TestSet, seed: int) -> list[str]:
    """For each query a sentence that was said of another video."""
    others = of_other_videos(test.annotations, seed=seed)
    if others is None:
        raise DataError("all queries are of one video; a sentence of another one is wanted")
    return [test.annotations[number].query for number in others]


def other_event(test: TestSet, seed: int) -> tuple[list[str], list[bool]]:
    """For each query the sentence of another event of the same video, and whether there is one."""
    rng = np.random.default_rng(seed)
    queries, there = [], []
    for annotation in test.annotations:
        others = [b.query for b in test.annotations if b.vid == annotation.vid and b.windows_s != annotation.windows_s]
        there.append(bool(others))
        queries.append(str(rng.choice(others)) if others else annotation.query)
    return queries, there


def control_figures(
    test: TestSet, grounder: Grounder, training: Sequence[Annotation], val: Sequence[Features], *, seed: int = 0
) -> dict[str, Figures]:
    """All controls that need no training.

    Args:
        test: the labelled queries.
        grounder: the model, for wrong sentences.
        training: annotations of the training split, for the fixed window.
        val: features of the validation videos, for the theta of motion.
        seed: of the drawing of wrong sentences.
    """
    others, there = other_event(test, seed)
    return {
        "chance": chance_figures(test),
        "prior": prior_figures(test, training),
        "shuffled": test.figures(test.answers(grounder, shuffled_queries(test, seed))),
        "other_event": test.figures(test.answers(grounder, others), there),
        "most_motion": motion_figures(test, val),
    }
