from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from wsra.runtime.cli import app
from wsra.runtime.conversion.convert import array_from_file, features_from_array
from wsra.runtime.errors import FeatureError, MissingExtraError, WsraError
from wsra.runtime.formats.features import read_features

ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(path: Path, array: np.ndarray = ARRAY) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, video1=array, other=array + 1)
    elif path.suffix in (".h5", ".hdf5"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["video1"] = array
            file["group/other"] = array + 1
    else:
        torch = pytest.importorskip("torch")
        torch.save({"video1": torch.from_numpy(array), "other": torch.from_numpy(array + 1)}, path)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".hdf5", ".pt"])
def test_every_format_becomes_a_feat_file(tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"a{suffix}")
    key = [] if suffix == ".npy" else ["--key", "video1"]
    result = CliRunner().invoke(app, ["convert", str(source), "-o", str(tmp_path / "x.feat"), "--snippet-s", "2", *key])
    assert result.exit_code == 0, result.output
    features = read_features(tmp_path / "x.feat")
    np.testing.assert_array_equal(features.values, ARRAY)
    np.testing.assert_array_equal(features.times_s, [[0, 2], [2, 4], [4, 6], [6, 8]])


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".pt"])
def test_a_key_is_asked_for_and_checked(tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"a{suffix}")
    with pytest.raises(FeatureError, match="choose one with --key"):
        array_from_file(source, None)
    with pytest.raises(FeatureError, match="no 'nothing' in it; it holds .*video1"):
        array_from_file(source, "nothing")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".pt"])
def test_truncated_and_foreign_files(tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"a{suffix}")
    content = source.read_bytes()
    for damaged in (content[: len(content) // 2], b"not a file of features", b""):
        source.write_bytes(damaged)
        with pytest.raises(WsraError) as error:
            array_from_file(source, "video1")
        assert "\n" not in str(error.value)


def test_pickles_are_never_run(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(FeatureError, match="Python objects"):
        array_from_file(tmp_path / "a.npy", None)
    torch = pytest.importorskip("torch")
    torch.save({"a": Path("x")}, tmp_path / "a.pt")
    with pytest.raises(FeatureError, match="tensors only"):
        array_from_file(tmp_path / "a.pt", None)


@pytest.mark.device
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4)), "expected .snippets, width."),
        (np.array([["a"]]), "expected real numbers"),
        (np.zeros((2, 2), complex), "expected real numbers"),
        (np.zeros((0, 3)), "empty"),
    ],
)
def test_arrays_of_another_kind(array: np.ndarray, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        features_from_array(array, video="v", snippet_s=1.0, backbone="b")


@pytest.mark.device
def test_float64_that_overflows_is_named_when_written(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 2), 1e300))
    run = CliRunner().invoke(app, ["convert", str(tmp_path / "a.npy"), "-o", str(tmp_path / "x.feat"), "--snippet-s", "1"])
    assert isinstance(run.exception, FeatureError) and "inf in snippet 0" in str(run.exception)


@pytest.mark.device
def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    source = write(tmp_path / "a.npy")
    (tmp_path / "x.feat").write_text("mine")
    run = CliRunner().invoke(app, ["convert", str(source), "-o", str(tmp_path / "x.feat"), "--snippet-s", "1"])
    assert "exists already" in str(run.exception) and (tmp_path / "x.feat").read_text() == "mine"


@pytest.mark.device
def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"wsra\[convert\]"):
        array_from_file(tmp_path / "a.h5", None)
