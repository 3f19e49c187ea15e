from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsra.runtime.spans.windows import Timeline, ladder_positions, planned_positions, relative_windows, seconds_ladder, segment_windows

pytestmark = pytest.mark.device


@pytest.mark.parametrize("duration_s", [1.0, 6.25, 30.38, 86400.0])
def test_the_papers_plan_has_47_windows_at_any_duration(duration_s: float) -> None:
    windows = relative_windows(duration_s)
    assert windows.shape == (47, 2)
    shares = np.round((windows[:, 1] - windows[:, 0]) / duration_s, 9)
    assert [int((shares == share).sum()) for share in (0.2, 0.3, 0.4, 0.5)] == [21, 12, 8, 6]
    assert windows.max() <= duration_s * (1 + 1e-12)


def test_segments_are_the_21_of_didemo_in_their_order() -> None:
    windows = segment_windows()
    assert windows.shape == (21, 2)
    np.testing.assert_array_equal(windows[[0, 5, 6, 10, 20]], [[0, 5], [25, 30], [0, 10], [0, 30], [20, 30]])


def regular(count: int, snippet_s: float) -> np.ndarray:
    return np.stack([np.arange(count), np.arange(1, count + 1)], axis=1) * snippet_s


def test_a_day_has_269144_windows() -> None:
    assert sum(rung.windows for rung in seconds_ladder(regular(86_400, 1.0))) == 269_144


@given(st.integers(1, 400), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_seconds_windows_lie_inside_and_are_whole_snippets(count: int, snippet_s: float) -> None:
    windows = ladder_positions(seconds_ladder(regular(count, snippet_s)))
    assert len(windows) >= 1
    assert windows.min() >= 0 and windows.max() <= count
    assert (windows == np.round(windows)).all() and (windows[:, 1] > windows[:, 0]).all()


GAPPY = np.array([[0.0, 1.0], [1.0, 2.0], [5.0, 6.0], [6.0, 8.0]])


@pytest.mark.parametrize(
    ("second", "position"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (2.0, 2.0), (3.7, 2.0), (5.5, 2.5), (7.0, 3.5), (9.0, 4.0)]
)
def test_a_gap_has_no_extent(second: float, position: float) -> None:
    assert Timeline(GAPPY).positions(np.array([second]))[0] == pytest.approx(position)


def test_seconds_of_spans_end_before_a_gap_and_start_after_it() -> None:
    starts, ends = Timeline(GAPPY).seconds(np.array([0.0, 2.0, 0.5]), np.array([2.0, 4.0, 3.5]))
    np.testing.assert_allclose(starts, [0.0, 5.0, 0.5])
    np.testing.assert_allclose(ends, [2.0, 8.0, 7.0])


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 3)), min_size=1, max_size=20), st.data())
def test_positions_and_seconds_are_inverse_within_snippets(steps: list[tuple[float, float]], data: st.DataObject) -> None:
    starts = np.cumsum([length + gap for length, gap in steps])
    times = np.stack([starts, starts + [length for length, _ in [*steps[1:], (0.1, 0)]]], axis=1)
    timeline = Timeline(times)
    which = data.draw(st.integers(0, len(times) - 1))
    share = data.draw(st.floats(0.01, 0.99))
    start, _ = timeline.seconds(np.array([which + share]), np.array([len(times)]))
    assert timeline.positions(start)[0] == pytest.approx(which + share, abs=1e-6)


def test_relative_windows_in_a_gap_are_left_out() -> None:
    times = np.array([[0.0, 1.0], [99.0, 100.0]])
    positions = planned_positions("relative", Timeline(times), times, 100.0)
    assert 0 < len(positions) < 47
    # Six of DiDeMo's 21 cover the first snippet; what ranks all 21 asks for their scores.
    assert len(planned_positions("segments", Timeline(times), times, 100.0)) == 6


@pytest.mark.parametrize(("duration_s", "count"), [(30.0, 21), (25.0, 15), (29.2, 21), (25.3, 21), (3.0, 1), (60.0, 21)])
def test_segments_lie_within_the_video(duration_s: float, count: int) -> None:
    starts = np.arange(np.ceil(duration_s))
    times_s = np.stack([starts, np.minimum(starts + 1, duration_s)], axis=1)
    positions = planned_positions("segments", Timeline(times_s), times_s, duration_s)
    assert len(positions) == count and (positions[:, 1] > positions[:, 0]).all()
