from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from objects import object_features

from wsra.runtime.bench.stages import repeated
from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.describe import describe
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.formats.tracks import TENSORS, Tracks, no_tracks

pytestmark = pytest.mark.device


def of(**changes: np.ndarray) -> Tracks:
    tracks = object_features([(0.0, 3.0), (1.5, 4.0)]).tracks
    assert tracks is not None
    return replace(tracks, **changes)


def test_reads_back_rows_and_tracks(tmp_path: Path) -> None:
    features = object_features([(0.0, 3.0), (1.5, 4.0), (10.25, 11.0)])
    write_features(tmp_path / "a.feat", features)
    back = read_features(tmp_path / "a.feat")
    assert features.tracks is not None and back.tracks is not None
    for attribute in TENSORS:
        np.testing.assert_array_equal(getattr(back.tracks, attribute), getattr(features.tracks, attribute))
    np.testing.assert_array_equal(back.rows(0, len(back)), features.values.astype(np.float32))
    np.testing.assert_array_equal(back.times_s, features.times_s)
    assert back.file is not None and back.file.metadata["version"] == "2"


def test_a_video_in_which_nothing_moves_has_no_row(tmp_path: Path) -> None:
    write_features(tmp_path / "a.feat", object_features([], width=186))
    back = read_features(tmp_path / "a.feat")
    assert (len(back), back.width) == (0, 186) and back.tracks is not None and len(back.tracks) == 0
    assert back.rows(0, 0).shape == (0, 186)
    assert len(no_tracks()) == 0


def test_features_of_snippets_stay_version_1(tmp_path: Path, make_features: Callable[..., Features]) -> None:
    write_features(tmp_path / "a.feat", make_features(7, 5))
    file = read_features(tmp_path / "a.feat").file
    assert file is not None and file.metadata["version"] == "1" and file.names == {"features", "times_s"}


def test_the_best_view_of_each_track_is_its_first() -> None:
    tracks = of(
        view_of=np.array([0, 0, 1, 1], np.int32), views_s=np.arange(4.0), view_boxes=np.tile([0, 0, 1, 1], (4, 1)).astype(np.float32)
    )
    assert tracks.best_views.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"of_row": np.array([0, 0, 0], np.int32)}, "tracks is int32 (3,); expected int32 (6,)"),
        ({"of_row": np.zeros(6, np.int32)}, "tracks do not number 2 tracks"),
        ({"of_row": np.array([0, 0, 1, 0, 1, 7], np.int32)}, "tracks do not number 2 tracks"),
        ({"lives_s": np.array([[0.0, 3], [4, 4]])}, "each start before its end"),
        ({"lives_s": np.array([[0.0, np.nan], [1, 4]])}, "impossible times"),
        ({"views_s": np.array([0.0, np.inf])}, "impossible times"),
        ({"view_of": np.array([1, 0], np.int32)}, "not sorted"),
        ({"continues": np.array([-2, 0], np.int32)}, "continues holds -2"),
        ({"view_boxes": np.array([[0, 0, 1, 1], [0.5, 0, 0.2, 1]], np.float32)}, "view_boxes are not boxes"),
        ({"view_boxes": np.array([[0, 0, 1, 1], [0, 0, 2, 1]], np.float32)}, "view_boxes are not boxes"),
        ({"view_boxes": np.array([[0, 0, 1, 1], [0, 0, np.nan, 1]], np.float32)}, "view_boxes are not boxes"),
    ],
)
def test_refuses_tracks_that_do_not_fit(changes: dict[str, np.ndarray], message: str) -> None:
    features = object_features([(0.0, 3.0), (1.5, 4.0)])
    with pytest.raises(FeatureError) as caught:
        replace(features, tracks=of(**changes))
    assert message in str(caught.value)


def test_rows_must_be_sorted_by_start() -> None:
    features = object_features([(0.0, 3.0), (1.5, 4.0)])
    with pytest.raises(FeatureError, match="not sorted"):
        replace(features, times_s=features.times_s[::-1].copy())


def test_a_video_repeated_to_hours_shows_the_same_again() -> None:
    features = object_features([(0.0, 3.0), (1.5, 4.0), (58.5, 60.0)])
    hour = repeated(features, 1.0)
    assert features.tracks is not None and hour.tracks is not None
    assert (len(hour), len(hour.tracks), hour.duration_s) == (60 * len(features), 180, 3600.0)
    last = hour.tracks.of_row >= 177
    np.testing.assert_array_equal(hour.rows(0, len(hour))[last], features.values.astype(np.float32))
    np.testing.assert_array_equal(hour.times_s[last], features.times_s + 59 * 60.0)
    np.testing.assert_array_equal(hour.tracks.lives_s[177:], features.tracks.lives_s + 59 * 60.0)


@pytest.mark.parametrize(("lives_s", "rows"), [([(0.0, 3.0), (1.5, 4.0)], 6), ([], 0)], ids=["two", "none"])
def test_info_tells_rows_and_tracks(tmp_path: Path, lives_s: list[tuple[float, float]], rows: int) -> None:
    write_features(tmp_path / "a.feat", object_features(lives_s))
    facts = describe(tmp_path / "a.feat")
    assert (facts["rows"], facts["tracks"]) == (rows, len(lives_s)) and "snippets" not in facts
    assert facts["snippet_s"] == (1.0 if rows else "")
