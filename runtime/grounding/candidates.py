"""The best spans of a recording, by either span score. Shapes: T snippets, n spans, Q queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.grounding.presence import SpanPresence
from wsra.runtime.grounding.recording import GAP_S, Recording
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.spans.maximal import maximal_of
from wsra.runtime.spans.moments import best_first, best_of_ladder
from wsra.runtime.spans.peaks import peak_spans
from wsra.runtime.spans.sums import ladder_sums, running_sums, sums_between
from wsra.runtime.spans.windows import PlanName, Rung, Timeline, ladder_positions, planned_positions, seconds_ladder

Array = NDArray[np.float64]
_PEAKS = 64


@dataclass(frozen=True)
class Spans:
    """Candidates of one sentence.

    Attributes:
        positions: (n, 2) of those that are found, best first.
        scores: (n,) their span scores.
        presence: (n,) their presence scores.
        best: the candidate of the highest presence score, found or not, as the only one of its own; None where there is none.
    """

    positions: Array
    scores: Array
    presence: Array
    best: Spans | None = None


@dataclass(frozen=True)
class Wanted:
    """Which of the candidates of one sentence are wanted.

    Attributes:
        presence: gives each its presence score.
        least: the presence score above which a candidate is found.
        top_k: how many at most.
    """

    presence: SpanPresence
    least: float
    top_k: int

    def of(self, positions: Array, scores: Array) -> Spans:
        """Those of spans (n, 2) with their scores (n,)."""
        presence = self.presence.scores(positions)
        found = np.flatnonzero(presence > self.least)
        chosen = found[best_first(scores[found])][: self.top_k]
        return Spans(positions[chosen], scores[chosen], presence[chosen], _highest(positions, scores, presence))

    def of_ladder(self, ladder: Sequence[Rung], scores: Sequence[NDArray[np.floating]], *, above: float) -> Spans:
        """Those of the windows of a ladder with their scores, one array per rung, which is modified; overlapping ones are dropped."""
        best = None
        for rung, values in zip(ladder, scores, strict=True):
            positions = ladder_positions([rung])
            presence = np.where(values > above, self.presence.scores(positions), -np.inf)
            highest = _highest(positions, values.astype(np.float64), presence) if presence.max() > -np.inf else None
            if highest is not None and (best is None or highest.presence[0] > best.presence[0]):
                best = highest
            values[presence <= self.least] = -np.inf
        positions, found = best_of_ladder(ladder, scores, count=self.top_k, above=above)
        return Spans(positions, found, self.presence.scores(positions), best)


def additive_spans(
    recording: Recording, logits: NDArray[np.float32], wanted: Wanted, *, plan: SpanPlan, theta: float, compiled: bool
) -> Spans:
    """The best spans from a logit per snippet: peaks by their height, whatever it is; other plans by their sum, only those above 0.

    Args:
        recording: the snippets.
        logits: (T,) of one sentence; finite.
        wanted: which of the candidates.
        plan: of candidate spans.
        theta: the logit at which a snippet speaks neither for nor against. It moves the scores of peaks, and changes no span of them.
        compiled: search maximal spans by numba.
    """
    assert plan != "tracks"
    if plan == "peaks":
        return _peaks(recording, logits, wanted, theta=theta)
    excess = logits.astype(np.float64) - theta
    running = running_sums(excess)
    if plan == "maximal":
        positions, scores = _maximal(recording, excess, running, compiled=compiled)
    elif plan == "seconds":
        ladder = seconds_ladder(recording.times_s)
        return wanted.of_ladder(ladder, ladder_sums(running, ladder), above=0.0)
    else:
        positions = planned_positions(plan, Timeline(recording.times_s), recording.times_s, recording.duration_s)
        scores = sums_between(running, positions)
        positions, scores = positions[scores > 0], scores[scores > 0]
    return wanted.of(positions, scores)


def pooled_spans(
    recording: Recording, scorer: SnippetScorer, text: NDArray[np.float32], wanted: Sequence[Wanted], *, plan: PlanName
) -> Iterator[Spans]:
    """The best spans of each sentence (Q, Dt) by phi of their mean key, the paper's score; whatever it is."""
    if plan == "seconds":
        ladder = seconds_ladder(recording.times_s)
        logits = scorer.ladder_logits(recording, ladder, text)
        for query, of_query in enumerate(wanted):
            yield of_query.of_ladder(ladder, [phi(rung[query]) for rung in logits], above=-np.inf)
        return
    positions = planned_positions(plan, Timeline(recording.times_s), recording.times_s, recording.duration_s)
    for row, of_query in zip(phi(scorer.pooled_logits(recording, positions, text)), wanted, strict=True):
        yield of_query.of(positions, row)


def _highest(positions: Array, scores: Array, presence: Array) -> Spans | None:
    """The candidate of the highest presence score; of equal ones that of the higher span score, then the earlier."""
    if len(positions) == 0:
        return None
    equal = np.flatnonzero(presence == presence.max())
    best = equal[[int(np.argmax(scores[equal]))]]
    return Spans(positions[best], scores[best], presence[best])


def phi(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logits as scores between 0 and 1."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))


def _peaks(recording: Recording, logits: NDArray[np.float32], wanted: Wanted, *, theta: float) -> Spans:
    """Peaks, the best first: as many as hold `top_k` that are found. The best candidate is one of the first `_PEAKS`."""
    edges, count, best = _edges(recording), _PEAKS, None
    while True:
        positions, peaks = peak_spans(logits, recording.times_s, edges, count=count)
        spans = wanted.of(positions, peaks - theta)
        best = best or spans.best
        if len(positions) < count or len(spans.positions) >= wanted.top_k or wanted.presence.highest <= wanted.least:
            return replace(spans, best=best)
        count *= 8


def _maximal(recording: Recording, excess: Array, running: Array, *, compiled: bool) -> tuple[Array, Array]:
    """Maximal spans of every stretch of video without a longer gap; none reaches over a gap."""
    edges = _edges(recording).tolist()
    found = [maximal_of(excess[first:last], running[first : last + 1], compiled=compiled) for first, last in itertools.pairwise(edges)]
    positions = np.concatenate([spans + first for (spans, _), first in zip(found, edges[:-1], strict=True)])
    return positions, np.concatenate([scores for _, scores in found])


def _edges(recording: Recording) -> NDArray[np.int64]:
    """Numbers of snippets from 0 to T, between which the stretches without a longer gap lie."""
    gaps = recording.times_s[1:, 0] - recording.times_s[:-1, 1]
    return np.concatenate([[0], np.flatnonzero(gaps > GAP_S) + 1, [len(recording)]])
