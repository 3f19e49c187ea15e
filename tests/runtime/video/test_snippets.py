"""Which frames stand for a snippet, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsra.runtime.video.frames import Frame
from wsra.runtime.video.snippets import by_snippet, frames_per_s, uniform

pytestmark = pytest.mark.device
IMAGE = np.zeros((1, 1, 3), np.uint8)


def at(*times_s: float) -> list[Frame]:
    return [Frame(time_s, IMAGE) for time_s in times_s]


def test_frames_nearest_to_the_middles_of_equal_parts() -> None:
    frames = at(2.0, 2.1, 2.3, 2.5, 2.8, 2.9)
    assert [f.time_s for f in uniform(iter(frames), 2, 1.0, count=1)] == [2.5]
    assert [f.time_s for f in uniform(iter(frames), 2, 1.0, count=2)] == [2.3, 2.8]
    assert [f.time_s for f in uniform(at(2.0, 2.9), 2, 1.0, count=4)] == [2.0, 2.0, 2.9, 2.9]


@given(st.lists(st.integers(0, 999), min_size=1, max_size=30, unique=True), st.integers(1, 9), st.sampled_from([0.5, 1.0, 2.0]))
def test_against_the_definition(milliseconds: list[int], count: int, snippet_s: float) -> None:
    frames = at(*(3 * snippet_s + n * snippet_s / 1000 for n in sorted(milliseconds)))
    chosen = [frame.time_s for frame in uniform(iter(frames), 3, snippet_s, count=count)]
    for part, time_s in enumerate(chosen):
        target = (3 + (part + 0.5) / count) * snippet_s
        assert abs(time_s - target) == min(abs(frame.time_s - target) for frame in frames)
    assert chosen == sorted(chosen)


def test_a_snippet_without_a_frame_is_left_out_and_rounded_stamps_stay_in_theirs() -> None:
    groups = [(number, [f.time_s for f in group]) for number, group in by_snippet(at(0.0, 0.9, 0.9999999, 3.0), 1.0)]
    assert groups == [(0, [0.0, 0.9]), (1, [0.9999999]), (3, [3.0])]


@pytest.mark.parametrize(("count", "snippet_s"), [(1, 1.0), (3, 1.0), (4, 2.0), (16, 0.5)])
def test_the_rate_has_a_frame_at_each_middle(count: int, snippet_s: float) -> None:
    step_s = 1 / frames_per_s(count, snippet_s)
    grid = np.arange(1000) * step_s
    for part in range(count):
        assert np.abs(grid - (part + 0.5) / count * snippet_s).min() < 1e-9
