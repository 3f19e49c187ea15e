"""Answers of a trained scorer on a planted split, with every form of inference, and the controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sets import Part
from torch import Tensor

from wsra.calib.theta import calibrate_theta
from wsra.runtime.evaluation.controls import fixed_windows
from wsra.runtime.evaluation.metrics import Figures, chance, figures
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.features import Features
from wsra.runtime.spans.maximal import maximal_spans
from wsra.runtime.spans.moments import best_first, best_of_ladder
from wsra.runtime.spans.peaks import peak_spans
from wsra.runtime.spans.sums import additive_scores, ladder_sums, pooled_means, running_sums
from wsra.runtime.spans.windows import Timeline, ladder_positions, relative_windows, seconds_ladder
from wsra.train.base_scorer import BaseScorer

Array = NDArray[np.float64]
TOP = 5
FORMS = ("peaks", "maximal", "maximal, own theta", "relative additive", "relative pooled", "seconds additive")
Curves = Callable[[Any, Tensor, Tensor], Tensor]  # scorer, keys (T, H), text (Q, Dt) -> (Q, T)


def logit_curves(scorer: BaseScorer, keys: Tensor, text: Tensor) -> Tensor:
    """Logits of phi."""
    return scorer.matrix(keys, text)


class Reader:
    """A scorer on one split.

    Args (constructor):
        scorer: the trained scorer.
        curves: function that gives its snippet scores.
        part: the split.
        text: (captions, Dt) vectors of the queries, one per annotation.
    """

    def __init__(self, scorer: BaseScorer, curves: Curves, part: Part, text: Tensor) -> None:
        self.scorer, self.curves_of, self.part, self.text = scorer, curves, part, text
        self.queries: dict[str, list[int]] = {}
        for number, annotation in enumerate(part.annotations):
            self.queries.setdefault(annotation.vid, []).append(number)
        self.keys = {vid: self._keys(vid) for vid in self.queries}
        self.curves: dict[int, NDArray[np.float64]] = {}
        for vid, numbers in self.queries.items():
            for number, row in zip(numbers, self._read(self.keys[vid], numbers), strict=True):
                self.curves[number] = row

    @torch.no_grad()
    def _keys(self, vid: str) -> Tensor:
        keys: Tensor = self.scorer.keys(torch.from_numpy(np.asarray(self.part.features[vid].values, np.float32)))
        return keys

    @torch.no_grad()
    def _read(self, keys: Tensor, numbers: Sequence[int]) -> NDArray[np.float64]:
        return self.curves_of(self.scorer, keys, self.text[list(numbers)]).double().numpy()

    def theta(self) -> float:
        """Calibrate theta on the curves of this split's own captions; no span is read."""
        return calibrate_theta(list(self.curves.values()))

    def answers(self, form: str, theta: float) -> list[Array]:
        """Spans (n, 2) of each query in seconds, best first.

        Args:
            form: of FORMS. "peaks" is the default of wsra; "own theta" derives the level of maximal spans from the query's curve
                instead of validation captions; "relative pooled" is the paper's, phi of the mean key of each of the 47 windows;
                "seconds" has NMS.
            theta: for the additive forms.
        """
        found: list[Array] = [np.zeros((0, 2))] * len(self.part.annotations)
        for vid, numbers in self.queries.items():
            features = self.part.features[vid]
            timeline = Timeline(features.times_s)
            spans: Iterator[tuple[Array, Array]]
            if form == "peaks":
                edges = np.array([0, len(features)])
                spans = (peak_spans(self.curves[number], features.times_s, edges, count=TOP) for number in numbers)
            elif form.startswith("maximal"):
                spans = self._maximal(numbers, form, theta)
            elif form.startswith("seconds"):
                spans = self._seconds(features, numbers, theta)
            else:
                spans = self._relative(features, numbers, form, theta)
            for number, (positions, scores) in zip(numbers, spans, strict=True):
                kept = best_first(scores)[:TOP]
                found[number] = np.stack(timeline.seconds(positions[kept, 0], positions[kept, 1]), axis=1)
        return found

    def _maximal(self, numbers: Sequence[int], form: str, theta: float) -> Iterator[tuple[Array, Array]]:
        for number in numbers:
            curve = self.curves[number]
            yield maximal_spans(curve, theta if form == "maximal" else calibrate_theta([curve]))

    def _seconds(self, features: Features, numbers: Sequence[int], theta: float) -> Iterator[tuple[Array, Array]]:
        ladder = seconds_ladder(features.times_s)
        for number in numbers:
            yield best_of_ladder(ladder, ladder_sums(running_sums(self.curves[number] - theta), ladder), count=TOP)

    def _relative(self, features: Features, numbers: Sequence[int], form: str, theta: float) -> Iterator[tuple[Array, Array]]:
        positions = Timeline(features.times_s).positions(relative_windows(features.duration_s))
        if form == "relative pooled":
            means = torch.from_numpy(pooled_means(self.keys[features.video].numpy(), positions)).float()
            rows = list(self._read(means, numbers))
        else:
            rows = [additive_scores(self.curves[number], positions, theta) for number in numbers]
        return ((positions, row) for row in rows)


def truths(annotations: Sequence[Annotation]) -> list[Array]:
    """The true spans of each query."""
    return [np.array(a.windows_s).reshape(-1, 2) for a in annotations]


def measured(part: Part, found: Sequence[Array], chosen: Sequence[bool] | None = None) -> dict[str, Any]:
    """Figures over all queries or the chosen ones."""
    flags = chosen if chosen is not None else [True] * len(found)
    pairs = [(a, t) for a, t, flag in zip(found, truths(part.annotations), flags, strict=True) if flag]
    return asdict(figures([a for a, _ in pairs], [t for _, t in pairs]))


def shuffled(part: Part, seed: int) -> list[int]:
    """For each query the index of a query about another video."""
    rng = np.random.default_rng(seed)
    numbers = []
    for annotation in part.annotations:
        while True:
            other = int(rng.integers(len(part.annotations)))
            if part.annotations[other].vid != annotation.vid:
                numbers.append(other)
                break
    return numbers


def plain_controls(train: Sequence[Annotation], test: Part, plan: str) -> dict[str, Any]:
    """Exact chance of a plan ("relative" or "seconds"), and the one window, as a share of the video, that fits the training spans best."""

    def windows(annotation_vid: str) -> Array:
        features = test.features[annotation_vid]
        if plan == "relative":
            return relative_windows(features.duration_s)
        return ladder_positions(seconds_ladder(features.times_s))

    by_chance: Figures = chance([windows(a.vid) for a in test.annotations], truths(test.annotations))
    start, end = fixed_windows(truths(train), [a.duration_s for a in train], count=1)[0]
    fixed = measured(test, [np.array([[start, end]]) * a.duration_s for a in test.annotations])
    return {"chance": asdict(by_chance), "prior": fixed, "prior_window": [round(start, 2), round(end, 2)]}
