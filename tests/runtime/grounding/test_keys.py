from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.tensors import TensorFile, write_tensors
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.grounding.keys import KeyStore, Made

pytestmark = pytest.mark.device
Make = Callable[..., Features]
MADE = Made("bundle", "fp32", "CPU")
WIDTH = 3


class Maker:
    """Gives keys of a video and notes how often it was asked."""

    def __init__(self, factor: float = 2.0) -> None:
        self.factor, self.times = factor, 0

    def of(self, features: Features, *, made: Made = MADE) -> np.ndarray:
        def chunks() -> Iterator[np.ndarray]:
            self.times += 1
            for start in range(0, len(features), 5):
                yield features.rows(start, start + 5)[:, :WIDTH] * np.float32(self.factor)

        return KeyStore(width=WIDTH, made=made).keys(features, chunks)


def last_warning(logged: pytest.LogCaptureFixture) -> str:
    """The last message, which must be a warning."""
    assert logged.records[-1].levelname == "WARNING"
    return logged.messages[-1]


def expected(features: Features, factor: float = 2.0) -> np.ndarray:
    return (np.asarray(features.values[:, :WIDTH], np.float32) * np.float32(factor)).astype(np.float16)


def test_keys_are_computed_once_and_mapped(feat_file: Path, logged: pytest.LogCaptureFixture) -> None:
    maker, features = Maker(), read_features(feat_file)
    for _ in range(2):
        keys = maker.of(features)
        assert isinstance(keys, np.memmap) and keys.dtype == np.float16
        np.testing.assert_array_equal(keys, expected(features))
    assert maker.times == 1 and logged.messages == [f"keys are kept in {feat_file.with_suffix('.keys')}"]
    assert sorted(path.name for path in feat_file.parent.iterdir()) == ["v.feat", "v.keys"]


def test_what_has_no_file_keeps_no_keys(feat_file: Path, make_features: Make, logged: pytest.LogCaptureFixture) -> None:
    features, maker = read_features(feat_file), Maker()
    np.testing.assert_array_equal(maker.of(make_features()), expected(make_features()))
    other = replace(features, values=features.values + 1)  # a copy with other numbers must not find the keys of the file
    np.testing.assert_array_equal(maker.of(other), expected(other))
    assert logged.messages == [] and not feat_file.with_suffix(".keys").exists()


@pytest.mark.parametrize("change", [{"bundle": "other"}, {"precision": "fp16"}, {"provider": "CUDA"}])
def test_keys_of_other_graphs_are_made_again(feat_file: Path, logged: pytest.LogCaptureFixture, change: dict[str, str]) -> None:
    maker, features = Maker(), read_features(feat_file)
    maker.of(features)
    maker.factor = 3.0
    np.testing.assert_array_equal(maker.of(features, made=replace(MADE, **change)), expected(features, 3.0))
    (name,) = change
    assert maker.times == 2 and logged.messages[1] == f"{feat_file.with_suffix('.keys')} is made again: it is of another {name}"


def test_changed_features_are_noticed_even_at_the_same_length(
    feat_file: Path, make_features: Make, logged: pytest.LogCaptureFixture
) -> None:
    maker = Maker()
    maker.of(read_features(feat_file))
    write_features(feat_file, make_features(seed=1))
    features = read_features(feat_file)
    np.testing.assert_array_equal(maker.of(features), expected(features))
    assert "the features have changed" in logged.messages[1]


def test_the_keys_of_a_touched_file_stay(feat_file: Path, logged: pytest.LogCaptureFixture) -> None:
    maker, features = Maker(), read_features(feat_file)
    maker.of(features)
    os.utime(feat_file, ns=(1, 1))
    np.testing.assert_array_equal(maker.of(features), expected(features))
    np.testing.assert_array_equal(maker.of(read_features(feat_file)), expected(features))
    assert maker.times == 1 and len(logged.messages) == 1


@pytest.mark.parametrize("cut", [0, 40, -1])
def test_damaged_keys_are_made_again(feat_file: Path, logged: pytest.LogCaptureFixture, cut: int) -> None:
    maker, features, path = Maker(), read_features(feat_file), feat_file.with_suffix(".keys")
    maker.of(features)
    path.write_bytes(path.read_bytes()[:cut])
    np.testing.assert_array_equal(maker.of(features), expected(features))
    assert maker.times == 2 and "is made again: " in logged.messages[1]


@pytest.mark.parametrize("kind", ["text", "tensors", "folder"])
def test_what_others_named_so_is_left_alone(feat_file: Path, logged: pytest.LogCaptureFixture, kind: str) -> None:
    path = kept = feat_file.with_suffix(".keys")
    if kind == "folder":
        path.mkdir()
        kept = path / "of_the_house.txt"
    if kind == "tensors":
        save_file({"keys": np.zeros((3, 3), np.float16)}, path, {"format": "another"})
    else:
        kept.write_text("front door, back door")
    before, features = kept.read_bytes(), read_features(feat_file)
    np.testing.assert_array_equal(Maker().of(features), expected(features))
    assert kept.read_bytes() == before and len(logged.messages) == 1 and "is not of wsra" in logged.messages[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_that_cannot_be_written(feat_file: Path, logged: pytest.LogCaptureFixture) -> None:
    feat_file.parent.chmod(0o555)
    try:
        features = read_features(feat_file)
        np.testing.assert_array_equal(Maker().of(features), expected(features))
    finally:
        feat_file.parent.chmod(0o755)
    assert last_warning(logged).startswith("keys stay in memory")


def test_a_place_that_cannot_be_written(feat_file: Path, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    features = read_features(feat_file)
    np.testing.assert_array_equal(Maker().of(features), expected(features))
    assert last_warning(logged).startswith("keys stay in memory") and list(feat_file.parent.iterdir()) == [feat_file]


def test_keys_that_float16_does_not_hold_stay_float32(feat_file: Path, logged: pytest.LogCaptureFixture) -> None:
    maker, features = Maker(50_000.0), read_features(feat_file)
    for _ in range(2):
        keys = maker.of(features)
        assert keys.dtype == np.float32 and np.abs(keys).max() > 60_000
    assert maker.times == 2 and "kept in float32" in logged.messages[1]  # once for each type, and then from the file


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_keys_that_are_not_finite_are_refused(feat_file: Path, logged: pytest.LogCaptureFixture, factor: float) -> None:
    with pytest.raises(FeatureError, match="NaN or infinite"):
        Maker(factor).of(read_features(feat_file))
    assert list(feat_file.parent.iterdir()) == [feat_file]


def test_features_that_are_replaced_while_they_are_read_give_no_keys(
    feat_file: Path, make_features: Make, logged: pytest.LogCaptureFixture
) -> None:
    opened = read_features(feat_file)
    write_features(feat_file, make_features(seed=1))
    with pytest.raises(FeatureError, match="was replaced while it was read"):
        Maker().of(opened)
    assert not feat_file.with_suffix(".keys").exists()


def test_keys_that_another_process_puts_there_at_once_are_not_taken(
    feat_file: Path, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, other = read_features(feat_file), feat_file.with_suffix(".other")
    Maker(3.0).of(features, made=replace(MADE, bundle="other"))
    shutil.copy(feat_file.with_suffix(".keys"), other)
    put = os.replace

    def at_once(source: str | Path, target: str | Path) -> None:
        put(source, target)
        put(other, target)

    monkeypatch.setattr(os, "replace", at_once)
    np.testing.assert_array_equal(Maker().of(features), expected(features))


def test_any_flipped_byte_of_kept_keys_is_noticed(feat_file: Path, logged: pytest.LogCaptureFixture) -> None:
    features, path = read_features(feat_file), feat_file.with_suffix(".keys")
    Maker().of(features)
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.unlink()
        path.write_bytes(damaged)
        np.testing.assert_array_equal(Maker().of(features), expected(features))


def test_kept_keys_that_are_not_finite_are_made_again(feat_file: Path, logged: pytest.LogCaptureFixture) -> None:
    features, path = read_features(feat_file), feat_file.with_suffix(".keys")
    Maker().of(features)
    metadata = TensorFile(path).metadata
    path.unlink()
    write_tensors(path, {"keys": np.full((len(features), WIDTH), np.nan, np.float16)}, metadata, digests=True)
    np.testing.assert_array_equal(Maker().of(features), expected(features))
    assert logged.messages[-1] == f"{path} is made again: keys holds NaN or infinite numbers"


def test_keys_are_compared_with_their_digests_once_for_every_state(
    feat_file: Path, logged: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checked: list[str] = []
    check = TensorFile.check
    monkeypatch.setattr(TensorFile, "check", lambda self, name, *rest, **more: (checked.append(name), check(self, name, *rest, **more))[1])
    features = read_features(feat_file)
    Maker().of(features)
    checked.clear()
    os.utime(feat_file.with_suffix(".keys"), (1, 1))
    for _ in range(2):  # as two processes: what was found is noted
        np.testing.assert_array_equal(Maker().of(features), expected(features))
    assert checked == ["keys"]


@pytest.mark.parametrize("content", [b"abc", b"\x00" * 8, b"12345678{"])
def test_short_files_of_others_are_left_alone(feat_file: Path, logged: pytest.LogCaptureFixture, content: bytes) -> None:
    features, path = read_features(feat_file), feat_file.with_suffix(".keys")
    path.write_bytes(content)
    np.testing.assert_array_equal(Maker().of(features), expected(features))
    assert path.read_bytes() == content and "is not of wsra" in logged.messages[0]


def test_keys_that_cannot_be_read_stay_in_memory(
    feat_file: Path, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, path = read_features(feat_file), feat_file.with_suffix(".keys")
    Maker().of(features)
    opened = Path.open

    def refuse(self: Path, *given: str, **more: str) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(self, *given, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    np.testing.assert_array_equal(Maker().of(features), expected(features))
    assert last_warning(logged).startswith(f"keys stay in memory: {path} cannot be read (Permission denied)")
