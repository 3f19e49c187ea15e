"""safetensors files with digests: any flipped byte is noticed, and a file that shrinks while it is read is an error, not a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import wsra.runtime.files.tensors
from wsra.runtime.errors import FeatureError
from wsra.runtime.files.tensors import Pieces, TensorFile, write_tensors
from wsra.runtime.formats.features import Features, read_features, write_features

pytestmark = pytest.mark.device

SHRINKING = """
import os, sys
import numpy as np
from pathlib import Path
from wsra.runtime.errors import WsraError
from wsra.runtime.formats.features import read_features
from wsra.runtime.files.mapping import intact, mapped

path = Path(sys.argv[1])
if sys.argv[2] == "features":
    features = read_features(path)
    os.truncate(path, 4096)
    read = lambda: features.rows(0, len(features))
else:
    rows = mapped(path, np.dtype(np.float32), (1 << 20,), 0)
    os.truncate(path, 4096)
    def read():
        with intact():
            return rows.sum()
for _ in range(2):
    try:
        print("read", float(np.sum(read())))
    except WsraError as err:
        print(err)
"""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsra.runtime.files.tensors, "BLOCK", 64)


def read_all(path: Path) -> dict[str, np.ndarray]:
    file = TensorFile(path)
    if file.digest is None:  # its name is damaged: who opens a file knows the names it must have
        assert file.names != {"a", "b"}
        raise FeatureError(f"{path}: {file.names}")
    return {name: file.read(name) for name in sorted(file.names)}


def test_other_readers_open_it_and_pieces_give_the_same_bytes(tmp_path: Path) -> None:
    values = np.arange(150, dtype=np.float32).reshape(50, 3)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    write_tensors(whole, {"a": values, "b": np.arange(5.0)}, {"x": "ä"}, digests=True)
    rows = (values[start : start + 7] for start in range(0, 50, 7))
    write_tensors(pieces, {"b": np.arange(5.0), "a": Pieces(np.dtype(np.float32), (50, 3), rows)}, {"x": "ä"}, digests=True)
    assert whole.read_bytes() == pieces.read_bytes()
    loaded = load_file(whole)
    np.testing.assert_array_equal(loaded["a"], values)
    assert loaded["digests"].shape == (1 + 1 + 10, 32)  # the header, 40 bytes of b, 600 of a
    np.testing.assert_array_equal(TensorFile(whole).map("a"), values)


def test_pieces_that_are_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 bytes; expected 24"):
        write_tensors(tmp_path / "a", {"a": Pieces(np.dtype(np.float64), (3,), [np.zeros(2)])}, {})


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("t") / "a"
    write_tensors(path, {"a": np.arange(60, dtype=np.float16).reshape(20, 3), "b": np.arange(9.0)}, {"x": "y"}, digests=True)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(FeatureError):
        read_all(path)


def test_only_the_blocks_that_are_read_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_tensors(path, {"a": np.zeros((100, 4), np.float32)}, {}, digests=True)
    content = bytearray(path.read_bytes())
    content[-32 * 26 - 1] ^= 1  # the last byte of the last row
    path.write_bytes(content)
    file = TensorFile(path)
    rows = file.map("a")
    file.check("a", rows, 0, 96)
    with pytest.raises(FeatureError, match=r"rows 96 to 100 of a are damaged"):
        file.check("a", rows, 95, 97)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_numbers_that_are_not_finite_are_noticed_where_that_is_asked(tmp_path: Path, bad: float, dtype: type) -> None:
    values = np.ones((9, 3), dtype)
    values[4, 1] = bad
    write_tensors(tmp_path / "a", {"a": values}, {}, digests=True)
    file = TensorFile(tmp_path / "a")
    with pytest.raises(FeatureError, match="holds NaN or infinite"):
        file.check("a", file.map("a"), finite=True)
    file.check("a", file.map("a"))


def test_files_without_digests_are_read_as_they_are(tmp_path: Path) -> None:
    save_file({"a": np.arange(5.0)}, tmp_path / "a", {"x": "y"})
    file = TensorFile(tmp_path / "a")
    assert file.digest is None and file.metadata == {"x": "y"}
    np.testing.assert_array_equal(file.read("a"), np.arange(5.0))


def test_damaged_features_are_named_with_their_rows(feat_file: Path, make_features: Callable[..., Features]) -> None:
    write_features(feat_file, make_features(count=100))
    content = bytearray(feat_file.read_bytes())
    row = make_features(count=100).values[50].tobytes()
    content[content.index(row)] ^= 1
    feat_file.write_bytes(content)
    features = read_features(feat_file)
    features.rows(0, 40)
    with pytest.raises(FeatureError, match=rf"{feat_file}: rows 48 to 52 of features are damaged"):
        features.rows(40, 60)


@pytest.mark.parametrize("kind", ["features", "rows"])
def test_a_file_that_shrinks_is_one_line(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # blocks of the usual size
    path, count = tmp_path / "x.feat", 20_000
    if kind == "features":
        starts = np.arange(float(count))
        write_features(path, Features(np.ones((count, 8), np.float32), np.stack([starts, starts + 1], 1), "v", float(count), "b"))
    else:
        path.write_bytes(os.urandom(1 << 22))
    done = subprocess.run([sys.executable, "-c", SHRINKING, str(path), kind], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done
    assert f"{path}: was cut off while it was read" in lines[0] or "damaged" in lines[0]
    assert kind == "rows" or "was cut off" in lines[1], lines


def test_a_message_stays_short_however_long_what_it_quotes(tmp_path: Path) -> None:
    save_file(
        {"features": np.zeros((1, 1), np.float32), "times_s": np.zeros((1, 2))},
        tmp_path / "a",
        {"format": "wsra.feat", "version": "9" * 10**6},
    )
    with pytest.raises(FeatureError, match="extract it again$") as error:
        read_features(tmp_path / "a")
    assert len(str(error.value)) < 2000 and str(error.value).startswith(str(tmp_path / "a"))
