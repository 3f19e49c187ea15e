"""The protocols' rules in plain Python, over made annotations: what the golden files hold, for who has no third-party data.

Every reference is written from the rules alone, in exact fractions, and shares no code with the project.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from random import Random

import numpy as np
import pytest

from wsra.runtime.evaluation import didemo
from wsra.runtime.evaluation.average_precision import LEVELS, MOST, map_scores
from wsra.runtime.evaluation.metrics import chance_scores, recall_name, scores

pytestmark = pytest.mark.device

MOMENTS = [(a, a) for a in range(6)] + list(combinations(range(6), 2))
Span = tuple[int, int]


def overlap(span: Span, other: Span) -> Fraction:
    """Intersection over union of [start, end) in whole numbers."""
    inter = max(0, min(span[1], other[1]) - max(span[0], other[0]))
    union = span[1] - span[0] + other[1] - other[0] - inter
    return Fraction(inter, union) if union else Fraction(0)


def a_span(rng: Random, longest: int) -> Span:
    start = rng.randrange(longest - 1)
    return start, rng.randrange(start + 1, longest + 1)


@pytest.mark.parametrize("seed", range(20))
def test_didemo(seed: int) -> None:
    """Four, five or seven annotators, five or six segments: three smallest ranks and three largest IoUs, in fractions."""
    rng = Random(seed)
    segments = rng.choice([5, 6])
    possible = [number for number, (_, last) in enumerate(MOMENTS) if last < segments]
    truths = [[rng.choice(possible) for _ in range(rng.choice([4, 5, 7]))] for _ in range(30)]
    truths += [[number] * 4 for number in possible[:3]]  # who all agree
    rankings = [rng.sample(range(21), 21) for _ in truths]
    for query in range(0, len(truths), 3):  # many a random ranking puts no annotator's moment first
        rankings[query].sort(key=lambda number, query=query: number not in truths[query])
    assert didemo.MOMENTS.tolist() == [list(moment) for moment in MOMENTS]
    found = didemo.rank_scores([np.array(ranking) for ranking in rankings], [np.array(truth) for truth in truths])
    hits = 0
    for query, (ranking, truth) in enumerate(zip(rankings, truths, strict=True)):
        ranks = sorted(1 + ranking.index(moment) for moment in truth)[:3]
        first = MOMENTS[ranking[0]]
        ious = sorted((overlap((first[0], first[1] + 1), (a, b + 1)) for a, b in (MOMENTS[moment] for moment in truth)), reverse=True)[:3]
        assert found["r1"][query] == (Fraction(sum(ranks), 3) <= 1)
        assert found["r5"][query] == (Fraction(sum(ranks), 3) <= 5)
        assert found["miou"][query] == pytest.approx(float(sum(ious) / 3), abs=1e-12)
        hits += int(found["r1"][query])
    assert 0 < hits < len(truths)


@pytest.mark.parametrize("seed", range(20))
def test_recalls(seed: int) -> None:
    """Spans of whole seconds, among them many whose IoU is exactly a threshold, which counts as reached."""
    rng = Random(seed)
    truths = [[a_span(rng, 20) for _ in range(rng.choice([1, 1, 1, 3]))] for _ in range(60)]
    answers = [[a_span(rng, 20) for _ in range(rng.choice([0, 1, 3, 5, 8]))] for _ in truths]
    truths += [[(0, 10)]] * 3
    answers += [[(0, 3)], [(0, 5)], [(0, 7)]]  # exactly 0.3, 0.5 and 0.7
    found = scores([np.array(each, float).reshape(-1, 2) for each in answers], [np.array(each, float) for each in truths])
    edges = 0
    for query, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        best = [max(overlap(span, other) for other in truth) for span in answer]
        assert found["miou"][query] == pytest.approx(float(best[0]) if best else 0.0, abs=1e-12)
        for rank in (1, 5):
            for level in (Fraction(3, 10), Fraction(1, 2), Fraction(7, 10)):
                reached = any(each >= level for each in best[:rank])
                assert found[recall_name(rank, float(level))][query] == reached
                edges += level in best[:rank]
    assert edges >= 6


@pytest.mark.parametrize("seed", range(5))
def test_chance(seed: int) -> None:
    """Every set of five windows of a small plan, counted one by one."""
    rng = Random(seed)
    plans = [list({a_span(rng, 12) for _ in range(rng.choice([3, 5, 9]))}) for _ in range(12)]
    truths = [a_span(rng, 12) for _ in plans]
    found = chance_scores([np.array(plan, float) for plan in plans], [np.array([truth], float) for truth in truths])
    for query, (plan, truth) in enumerate(zip(plans, truths, strict=True)):
        for rank in (1, 5):
            for level in (Fraction(3, 10), Fraction(1, 2), Fraction(7, 10)):
                draws = list(combinations(plan, min(rank, len(plan))))
                share = Fraction(sum(any(overlap(span, truth) >= level for span in draw) for draw in draws), len(draws))
                assert found[recall_name(rank, float(level))][query] == pytest.approx(float(share), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_average_precision(seed: int) -> None:
    """Ten answers; each takes the free true span that it overlaps best; the area below the interpolated curve of precision."""
    rng = Random(seed)
    truths = [[a_span(rng, 30) for _ in range(rng.choice([1, 2, 4]))] for _ in range(25)]
    answers = [[rng.choice([a_span(rng, 30), *truth]) for _ in range(rng.choice([1, 6, 12]))] for truth in truths]
    found = map_scores([np.array(each, float) for each in answers], [np.array(each, float) for each in truths])
    for query, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        areas = []
        for level in LEVELS:
            free, right = dict(enumerate(truth)), []
            for span in answer[:MOST]:
                best = max(free, key=lambda number, span=span: overlap(span, free[number]), default=None)
                right.append(best is not None and overlap(span, free[best]) >= Fraction(round(100 * level), 100))
                if right[-1]:
                    del free[best]
            precision = [Fraction(sum(right[: place + 1]), place + 1) for place in range(len(right))]
            areas.append(sum((max(precision[place:]) for place, hit in enumerate(right) if hit), Fraction(0)) / len(truth))
            assert found[f"map_iou{round(100 * level)}"][query] == pytest.approx(float(areas[-1]), abs=1e-12)
        assert found["map"][query] == pytest.approx(float(sum(areas) / len(areas)), abs=1e-12)
