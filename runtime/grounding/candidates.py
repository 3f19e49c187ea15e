"""The best spans of a recording, by either span score. Shapes: T snippets, n spans, Q queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.grounding.recording import GAP_S, Recording
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.spans.maximal import maximal_of
from wsra.runtime.spans.moments import best_first, best_of_ladder
from wsra.runtime.spans.sums import ladder_sums, running_sums, sums_between
from wsra.runtime.spans.windows import PlanName, Timeline, planned_positions, seconds_ladder

Spans = tuple[NDArray[np.float64], NDArray[np.float64]]  # positions (n, 2) and scores (n,), best first


def additive_spans(recording: Recording, logits: NDArray[np.float32], *, plan: SpanPlan, theta: float, top_k: int, compiled: bool) -> Spans:
    """The best spans by the sum of what speaks for the sentence; only those above 0.

    Args:
        recording: the snippets.
        logits: (T,) of one sentence.
        plan: of candidate spans.
        theta: the logit at which a snippet speaks neither for nor against.
        top_k: how many at most.
        compiled: search maximal spans by numba.

    Returns:
        The spans; one of score NaN where a logit is not finite.
    """
    assert plan != "tracks"
    excess = logits.astype(np.float64) - theta
    if not np.isfinite(excess).all():
        return np.zeros((1, 2)), np.full(1, np.nan)
    running = running_sums(excess)
    if plan == "maximal":
        positions, scores = _maximal(recording, excess, running, compiled=compiled)
    elif plan == "seconds":
        ladder = seconds_ladder(recording.times_s)
        return best_of_ladder(ladder, ladder_sums(running, ladder), count=top_k, above=0.0)
    else:
        positions = planned_positions(plan, Timeline(recording.times_s), recording.times_s, recording.duration_s)
        scores = sums_between(running, positions)
        positions, scores = positions[scores > 0], scores[scores > 0]
    best = best_first(scores)[:top_k]
    return positions[best], scores[best]


def pooled_spans(recording: Recording, scorer: SnippetScorer, text: NDArray[np.float32], *, plan: PlanName, top_k: int) -> Iterator[Spans]:
    """The best spans of each sentence (Q, Dt) by phi of their mean key, the paper's score; whatever it is."""
    if plan == "seconds":
        ladder = seconds_ladder(recording.times_s)
        logits = scorer.ladder_logits(recording, ladder, text)
        for query in range(len(text)):
            found, scores = best_of_ladder(ladder, [rung[query] for rung in logits], count=top_k)
            yield found, phi(scores)
        return
    positions = planned_positions(plan, Timeline(recording.times_s), recording.times_s, recording.duration_s)
    for row in phi(scorer.pooled_logits(recording, positions, text)):
        best = best_first(row)[:top_k]
        yield positions[best], row[best]


def phi(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logits as scores between 0 and 1."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))


def _maximal(recording: Recording, excess: NDArray[np.float64], running: NDArray[np.float64], *, compiled: bool) -> Spans:
    """Maximal spans of every stretch of video without a longer gap; none reaches over a gap."""
    gaps = recording.times_s[1:, 0] - recording.times_s[:-1, 1]
    edges = [0, *(np.flatnonzero(gaps > GAP_S) + 1).tolist(), len(recording)]
    found = [maximal_of(excess[first:last], running[first : last + 1], compiled=compiled) for first, last in itertools.pairwise(edges)]
    positions = np.concatenate([spans + first for (spans, _), first in zip(found, edges[:-1], strict=True)])
    return positions, np.concatenate([scores for _, scores in found])
