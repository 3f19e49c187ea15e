"""The protocols of evaluation: what is counted for an answer, for a random one, and for one that knows the timing alone.

Answers are (n, 3) start and end in seconds and score, best first; every figure is a value in [0, 1] per query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import DataError
from wsra.runtime.evaluation import didemo
from wsra.runtime.evaluation.average_precision import LEVELS as MAP_LEVELS
from wsra.runtime.evaluation.average_precision import map_chance_scores, map_scores
from wsra.runtime.evaluation.controls import fixed_windows
from wsra.runtime.evaluation.metrics import LEVELS, RANKS, chance_scores, scores
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.spans.windows import SEGMENT_S, PlanName, segment_windows

Array = NDArray[np.float64]
Scores = dict[str, Array]
ProtocolName = Literal["didemo", "charades", "spans"]
DEFAULT_PLANS: dict[ProtocolName, PlanName] = {"didemo": "segments", "charades": "relative", "spans": "seconds"}


class Rules(Protocol):
    """One protocol for a list of annotated queries."""

    def scores(self, answers: Sequence[Array]) -> Scores:
        """Figures of answers, per query."""

    def chance(self, plans: Iterable[Array]) -> Scores:
        """Exact figures of a random ranking of each query's windows (N, 2), per query."""

    def prior(self, fitted_on: Sequence[Annotation]) -> list[Array]:
        """Answers that know when things happen in `fitted_on`, and no sentence."""

    def moved(self, answer: Array, *, to: Annotation, of: Annotation) -> Array:
        """The answer to one query as an answer to a query of another video."""


class SpanRules:
    """Spans in seconds: `charades`, and `spans` with more ranks and IoUs and with mean average precision.

    Args (constructor):
        annotations: the queries.
        name: which of the two.
    """

    def __init__(self, annotations: Sequence[Annotation], name: ProtocolName) -> None:
        self.annotations = annotations
        self.truths = [np.array(a.windows_s) for a in annotations]
        self.with_map = name == "spans"
        self.levels = sorted({0.1, *LEVELS, *MAP_LEVELS}) if self.with_map else LEVELS

    def scores(self, answers: Sequence[Array]) -> Scores:
        """Recalls, mean IoU and, for `spans`, average precision."""
        windows = [answer[:, :2] for answer in answers]
        found = scores(windows, self.truths, ranks=RANKS, levels=self.levels)
        return found | map_scores(windows, self.truths) if self.with_map else found

    def chance(self, plans: Iterable[Array]) -> Scores:
        """As `metrics.chance_scores`; average precision is missing where a query has several true spans."""
        kept = list(plans)
        found = chance_scores(kept, self.truths, ranks=RANKS, levels=self.levels)
        return found | (map_chance_scores(kept, self.truths) or {}) if self.with_map else found

    def prior(self, fitted_on: Sequence[Annotation]) -> list[Array]:
        """Five fixed windows, as shares of the video."""
        shares = fixed_windows([np.array(a.windows_s) for a in fitted_on], [a.duration_s for a in fitted_on])
        falling = -np.arange(len(shares), dtype=np.float64)[:, None]
        return [np.hstack([shares * a.duration_s, falling]) for a in self.annotations]

    def moved(self, answer: Array, *, to: Annotation, of: Annotation) -> Array:
        """Stretched from one duration to the other."""
        return answer * [to.duration_s / of.duration_s, to.duration_s / of.duration_s, 1.0]


class DidemoRules:
    """DiDeMo: a ranking of all 21 moments against several annotators.

    Args (constructor):
        annotations: the queries, one window of whole segments per annotator.

    Raises:
        DataError: an annotation is not of that kind.
    """

    def __init__(self, annotations: Sequence[Annotation]) -> None:
        self.annotations = annotations
        self.truths = [_truth(a) for a in annotations]

    def scores(self, answers: Sequence[Array]) -> Scores:
        """As `didemo.rank_scores`.

        Raises:
            DataError: an answer is no ranking of all 21 moments.
        """
        return didemo.rank_scores([_ranking(answer, a) for answer, a in zip(answers, self.annotations, strict=True)], self.truths)

    def chance(self, plans: Iterable[Array]) -> Scores:
        """As `didemo.chance_scores`; the plan is always all 21 moments."""
        return didemo.chance_scores(self.truths)

    def prior(self, fitted_on: Sequence[Annotation]) -> list[Array]:
        """Moments by how often annotators chose them."""
        ranking = didemo.frequency_ranking(_truth(a) for a in fitted_on)
        answer = np.hstack([segment_windows()[ranking], -np.arange(len(ranking), dtype=np.float64)[:, None]])
        return [answer] * len(self.annotations)

    def moved(self, answer: Array, *, to: Annotation, of: Annotation) -> Array:
        """The same segments."""
        return answer


def rules_of(name: ProtocolName, annotations: Sequence[Annotation]) -> Rules:
    """The rules of a protocol.

    Raises:
        DataError: the annotations are not of its kind.
    """
    return DidemoRules(annotations) if name == "didemo" else SpanRules(annotations, name)


def _truth(annotation: Annotation) -> NDArray[np.int64]:
    numbers = didemo.moment_numbers(np.array(annotation.windows_s).reshape(-1, 2))
    if numbers is None or len(numbers) < didemo.AGREEING:
        raise DataError(
            f"qid {annotation.qid}: windows {list(annotation.windows_s)[:3]}; the protocol didemo expects at least {didemo.AGREEING}"
            f" annotators' moments of whole segments of {SEGMENT_S:g} s: give DiDeMo's JSON, or choose another --protocol"
        )
    return numbers


def _ranking(answer: Array, annotation: Annotation) -> NDArray[np.int64] | None:
    if len(answer) == 0:
        return None
    numbers = didemo.moment_numbers(answer[:, :2])
    if numbers is None:
        raise DataError(
            f"qid {annotation.qid}: a window is not of whole segments; expected seconds, from {SEGMENT_S:g} a to {SEGMENT_S:g} (b + 1)"
            " for segments a to b of 0 to 5"
        )
    if sorted(numbers.tolist()) != list(range(len(didemo.MOMENTS))):
        raise DataError(
            f"qid {annotation.qid}: {len(set(numbers.tolist()))} different moments in {len(numbers)} windows; DiDeMo's metric ranks all"
            f" {len(didemo.MOMENTS)}, each once"
        )
    return numbers
