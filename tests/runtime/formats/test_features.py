from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.features import Features, read_features, write_features

pytestmark = pytest.mark.device
Make = Callable[..., Features]


def test_reads_back_what_was_written_as_a_memory_map(tmp_path: Path, make_features: Make) -> None:
    features = make_features(7, 5)
    write_features(str(tmp_path / "a.feat"), features)  # paths may be strings
    back = read_features(str(tmp_path / "a.feat"), width=5)
    np.testing.assert_array_equal(back.values, features.values)
    np.testing.assert_array_equal(back.times_s, features.times_s)
    assert (back.video, back.duration_s, back.backbone) == ("v", 7.0, "test")
    assert isinstance(back.values, np.memmap)
    assert [p.name for p in tmp_path.iterdir()] == ["a.feat"]


@settings(max_examples=40, deadline=None)
@given(values=hnp.arrays(np.float16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-100, 100, width=16)))
def test_any_finite_features_survive(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("f") / "a.feat"
    starts = np.cumsum(np.linspace(0.5, 2, len(values)))
    features = Features(values, np.stack([starts, starts + 0.4], 1), "v", 99.0, "b", {"start_time": "2026-01-01T00:00:00"})
    write_features(path, features)
    back = read_features(path)
    np.testing.assert_array_equal(back.values, values)
    np.testing.assert_array_equal(back.times_s, features.times_s)
    assert back.extra == features.extra


GOOD_TIMES = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("values", "times", "message"),
    [
        (np.zeros((3, 2), np.float64), GOOD_TIMES, "float64"),
        (np.zeros((3,), np.float32), GOOD_TIMES, "expected float16 or float32 (snippets, width)"),
        (np.zeros((0, 2), np.float32), np.zeros((0, 2)), "empty"),
        (np.zeros((3, 2), np.float32), GOOD_TIMES[:2], "expected float64 (3, 2)"),
        (np.zeros((3, 2), np.float32), GOOD_TIMES[::-1].copy(), "do not increase"),
        (np.zeros((3, 2), np.float32), np.array([[0.0, 1], [1, 1], [2, 3]]), "do not increase at snippet 1"),
        (np.zeros((3, 2), np.float32), np.array([[0.0, 2], [1, 3], [4, 5]]), "snippets 0 and 1 overlap"),
        (np.zeros((3, 2), np.float32), np.array([[0.0, 1], [1, np.nan], [2, 3]]), "times hold NaN"),
    ],
)
def test_unusable_numbers_are_named(values: np.ndarray, times: np.ndarray, message: str) -> None:
    with pytest.raises(FeatureError, match=message.replace("(", r"\(").replace(")", r"\)")) as error:
        Features(values, times, "v", 3.0, "b")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_values_are_named_when_read_and_never_written(tmp_path: Path, bad: float) -> None:
    values = np.zeros((3, 2), np.float32)
    values[1, 1] = bad
    features = Features(values, GOOD_TIMES, "v", 3.0, "b")
    for use in (lambda: features.rows(0, 3), lambda: write_features(tmp_path / "a.feat", features)):
        with pytest.raises(FeatureError, match=f"{bad} in snippet 1, number 1"):
            use()
    assert list(tmp_path.iterdir()) == []


def _forge(path: Path, metadata: dict[str, str], **tensors: np.ndarray) -> Path:
    save_file(tensors, path, metadata)
    return path


BODY = {"features": np.zeros((3, 2), np.float32), "times_s": GOOD_TIMES}
META = {"format": "wsra.feat", "version": "1", "video": "v", "duration_s": "3.0", "backbone": "b"}


@pytest.mark.parametrize(
    ("metadata", "tensors", "message"),
    [
        ({"format": "pt"}, BODY, "not a wsra.feat file"),
        (META, {"features": BODY["features"]}, "not a wsra.feat file"),
        ({**META, "version": "9"}, BODY, "version 9"),
        ({k: v for k, v in META.items() if k != "backbone"}, BODY, "lacks backbone"),
        ({**META, "duration_s": "long"}, BODY, "duration_s is 'long'"),
        ({**META, "duration_s": "nan"}, BODY, "duration is nan"),
        (META, {**BODY, "features": np.zeros((3, 2), np.int32)}, "features are int32"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, metadata: dict[str, str], tensors: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        read_features(_forge(tmp_path / "a.feat", metadata, **tensors))


@pytest.mark.parametrize("cut", [0, 4, 40, -1, -50])
def test_a_truncated_file_is_refused(feat_file: Path, cut: int) -> None:
    feat_file.write_bytes(feat_file.read_bytes()[:cut])
    with pytest.raises(FeatureError, match="truncated or foreign"):
        read_features(feat_file)


def test_text_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.feat").write_text(json.dumps({"a": 1}))
    for path in (tmp_path / "a.feat", tmp_path, tmp_path / "none.feat"):
        with pytest.raises(FeatureError):
            read_features(path)


def test_another_width_is_refused(feat_file: Path) -> None:
    with pytest.raises(FeatureError, match="4 numbers per row .* expected 9"):
        read_features(feat_file, width=9)


def test_a_lying_header_is_refused(feat_file: Path) -> None:
    content = bytearray(feat_file.read_bytes())
    content[:8] = struct.pack("<Q", 1 << 60)
    feat_file.write_bytes(content)
    with pytest.raises(FeatureError, match="truncated or foreign"):
        read_features(feat_file)


@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_features_can_be_read_by_whom_the_umask_lets(tmp_path: Path, make_features: Make, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_features(tmp_path / "a.feat", make_features())
    finally:
        os.umask(before)
    assert (tmp_path / "a.feat").stat().st_mode & 0o777 == 0o666 & ~umask
