from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsra.runtime.spans.peaks import NEAR_S, peak_spans, smoothed

pytestmark = pytest.mark.device
STEPS = st.integers(-160, 160).map(lambda n: 3 * n / 16)  # what is computed from these is exact
Found = list[tuple[int, int, float]]


def times(count: int, snippet_s: float = 1.0) -> np.ndarray:
    starts = np.arange(count) * snippet_s
    return np.stack([starts, starts + snippet_s], axis=1)


def found(logits: np.ndarray, edges: list[int] | None = None, *, count: int = 10**9, snippet_s: float = 1.0, share: float = 0.5) -> Found:
    inner = np.array(edges if edges is not None else [0, len(logits)])
    spans, peaks = peak_spans(logits, times(len(logits), snippet_s), inner, count=count, share=share)
    return [(int(start), int(end), float(peak)) for (start, end), peak in zip(spans, peaks, strict=True)]


def plain_smoothed(logits: list[float]) -> list[float]:
    held = [logits[0], *logits, logits[-1]]
    return [(held[at] + held[at + 1] + held[at + 2]) / 3 for at in range(len(logits))]


def plain_peaks(logits: list[float], snippet_s: float, share: float) -> Found:
    """The definition, of one stretch: every snippet is tried, and every moment compared with every other."""
    curve, taken = plain_smoothed(logits), list[tuple[int, int, float]]()
    for at in sorted(range(len(curve)), key=lambda at: (-curve[at], at)):
        base = float(np.median([value for other, value in enumerate(curve) if abs(other - at) * snippet_s <= NEAR_S]))
        inside = [value >= base and value - base >= share * (curve[at] - base) for value in curve]
        if not inside[at]:
            continue
        start = max([other + 1 for other in range(at) if not inside[other]], default=0)
        end = min([other for other in range(at, len(curve)) if not inside[other]], default=len(curve))
        highest = max(range(start, end), key=lambda other: (curve[other], -other)) == at
        if highest and all(end <= first or last <= start for first, last, _ in taken):
            taken.append((start, end, curve[at]))
    return taken


@settings(max_examples=100, deadline=None)
@given(
    logits=hnp.arrays(np.float64, st.integers(1, 100), elements=STEPS),
    snippet_s=st.sampled_from([0.5, 1.0, 2.0, 8.0]),
    share=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
)
def test_moments_follow_the_definition(logits: np.ndarray, snippet_s: float, share: float) -> None:
    got = found(logits, snippet_s=snippet_s, share=share)
    assert got == plain_peaks(logits.tolist(), snippet_s, share)
    assert got[0][2] == max(plain_smoothed(logits.tolist()))  # the highest snippet is always a moment
    ordered = sorted(got)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


@settings(max_examples=80, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 300), elements=STEPS), st.integers(1, 20))
def test_fewer_are_the_first_of_more_and_a_constant_changes_nothing(logits: np.ndarray, count: int) -> None:
    everything = found(logits)
    assert found(logits, count=count) == everything[:count]
    assert found(logits + 3000) == [(start, end, peak + 3000) for start, end, peak in everything]
    assert found(logits * 8) == [(start, end, peak * 8) for start, end, peak in everything]


@settings(max_examples=80, deadline=None)
@given(hnp.arrays(np.float64, st.integers(2, 90), elements=STEPS), st.lists(st.integers(1, 89), max_size=4))
def test_stretches_are_answered_as_if_each_were_alone(logits: np.ndarray, cuts: list[int]) -> None:
    edges = [0, *sorted({cut for cut in cuts if cut < len(logits)}), len(logits)]
    alone = [
        (start + first, end + first, peak)
        for first, last in itertools.pairwise(edges)
        for start, end, peak in plain_peaks(logits[first:last].tolist(), 1.0, 0.5)
    ]
    assert found(logits, edges) == sorted(alone, key=lambda moment: (-moment[2], moment[0]))


@settings(max_examples=80, deadline=None)
@given(
    before=hnp.arrays(np.float64, st.integers(1, 60), elements=STEPS),
    after=hnp.arrays(np.float64, st.integers(1, 60), elements=STEPS),
)
def test_a_cut_with_nothing_within_reach_changes_nothing(before: np.ndarray, after: np.ndarray) -> None:
    """Around the cut lies an even floor below all logits; what stands out ends before it, since it falls to its base."""
    floor = np.full(4 * int(NEAR_S), -60.0)
    parts = np.concatenate([before, floor]), np.concatenate([floor, after])
    whole, cut = np.concatenate(parts), len(parts[0])
    pieces = found(parts[0]) + [(start + cut, end + cut, peak) for start, end, peak in found(parts[1])]

    def standing(moments: Found) -> Found:
        return sorted(moment for moment in moments if moment[2] > -60.0)

    assert standing(found(whole)) == standing(pieces)
    assert standing(found(whole))


def test_a_lower_peak_on_the_shoulder_of_a_moment_is_part_of_it_and_one_beyond_a_valley_is_not() -> None:
    logits = np.zeros(120)
    logits[50:54], logits[56:59], logits[80:84] = 8.0, 7.0, 4.0
    logits[54:56] = 6.0
    assert [(start, end) for start, end, _ in found(logits, count=2)] == [(50, 59), (80, 84)]
    logits[54:56] = 0.0
    assert [(start, end) for start, end, _ in found(logits, count=3)] == [(50, 54), (56, 59), (80, 84)]


def test_smoothing_keeps_level_and_stops_at_edges() -> None:
    np.testing.assert_array_equal(smoothed(np.array([1.0, 1.0, 1.0, 9.0, 9.0, 5.0]), np.array([0, 3, 5, 6])), [1, 1, 1, 9, 9, 5])
    np.testing.assert_array_equal(smoothed(np.array([0.0, 3.0, 0.0]), np.array([0, 3])), [1, 1, 1])


def test_a_planted_event_in_a_month_is_found_whole() -> None:
    logits = np.random.default_rng(1).normal(-1, 1, 2_592_000).astype(np.float32)
    logits[1000:1020] += 12
    (start, end, _), *_ = found(logits, count=1)
    assert 999 <= start <= 1001 and 1019 <= end <= 1021
