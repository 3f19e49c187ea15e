from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.recording import Part, RecordingRows, joined

pytestmark = pytest.mark.device
Make = Callable[..., Features]


@pytest.mark.parametrize(
    ("starts_s", "begins"),
    [
        (None, (0, 12, 24)),
        ([500, 511.2, 523.9], (0, 12, 24)),
        ([500, 507, 524], (0, 12, 24)),
        ([500, 508, 516], (0, 12, 24)),
        ([0, 13, 30], (0, 13, 30)),
        ([0, 17.5, 29.5], (0, 17.5, 29.5)),
    ],
)
def test_parts_follow_each_other_on_one_clock(make_features: Make, starts_s: list[float] | None, begins: tuple[float, ...]) -> None:
    parts = [make_features(12, seed=seed) for seed in range(3)]
    recording = joined(parts, video="camera", starts_s=starts_s)
    assert recording.starts_s == begins and len(recording) == 36 and recording.duration_s == begins[-1] + 12
    np.testing.assert_array_equal(recording.times_s[::12, 0], begins)
    assert [part.features() for part in recording.parts] == parts and [len(part) for part in recording.parts] == [12] * 3


def test_a_part_of_a_file_is_its_snippets_from_where_it_begins(make_features: Make, feat_file: Path) -> None:
    whole = read_features(feat_file)
    part = Part(feat_file, 4, 7, 4.0, 7.0)
    recording = joined([part, make_features(2, whole.width, backbone=whole.backbone)], video="camera")
    assert recording.starts_s == (0.0, 3.0) and recording.duration_s == 5.0
    np.testing.assert_array_equal(recording.times_s[:3], whole.times_s[4:7] - 4.0)


def test_parts_that_do_not_join_are_refused(make_features: Make) -> None:
    one, other = make_features(12), make_features(12, backbone="i3d", video="w")
    with pytest.raises(FeatureError, match="w: features of i3d"):
        joined([one, other], video="camera")
    with pytest.raises(FeatureError, match=r"starts 6\.0 s before v ends"):
        joined([one, one], video="camera", starts_s=[0, 6])
    with pytest.raises(FeatureError, match="1 starts for 2 parts"):
        joined([one, one], video="camera", starts_s=[0])
    with pytest.raises(FeatureError, match="no part"):
        joined([], video="camera")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 50), st.integers(0, 50))
def test_joined_rows_are_the_rows_of_one_array(lengths: list[int], start: int, stop: int) -> None:
    whole = np.arange(sum(lengths) * 2, dtype=np.float32).reshape(-1, 2)
    pieces, opened = np.split(whole, np.cumsum(lengths)[:-1]), []

    def open_part(number: int) -> np.ndarray:
        opened.append(number)
        return pieces[number]

    rows = RecordingRows(lengths, width=2, rows=open_part)
    assert rows.shape == whole.shape and not opened
    for row in range(len(whole)):
        np.testing.assert_array_equal(rows[row : row + 1], whole[row : row + 1])
    assert opened == list(range(len(lengths)))
    np.testing.assert_array_equal(rows[start:stop], whole[start:stop])
    np.testing.assert_array_equal(rows[start:], whole[start:])
