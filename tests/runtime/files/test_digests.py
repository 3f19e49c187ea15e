from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

import wsra.runtime.files.digests
from wsra.runtime.errors import BundleError
from wsra.runtime.files.digests import Digests
from wsra.runtime.files.writing import sha256_of
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.grounding.stock import stock_folder

pytestmark = pytest.mark.device


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files that were written an hour ago."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "b").mkdir()
    for name in ("x", "y"):
        (tmp_path / "b" / name).write_text(name)
        os.utime(tmp_path / "b" / name, (time.time() - 3600,) * 2)
    return tmp_path / "b"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that are read from now on."""
    names: list[str] = []
    monkeypatch.setattr(wsra.runtime.files.digests, "sha256_of", lambda path: (names.append(path.name), sha256_of(path))[1])
    return names


def digests(folder: Path, *, trust: bool = True) -> dict[str, str]:
    held = Digests(folder, trust=trust)
    return {name: held.of(name) for name in ("x", "y")}


def test_what_has_not_changed_is_read_once(folder: Path, read: list[str]) -> None:
    first = digests(folder)
    assert first == {name: sha256_of(folder / name) for name in ("x", "y")}
    assert digests(folder) == first and read == ["x", "y"]
    assert digests(folder, trust=False) == first and read == ["x", "y"] * 2


@pytest.mark.parametrize("change", ["bytes", "size", "another file"])
def test_what_changed_is_read_again(folder: Path, read: list[str], change: str) -> None:
    first = digests(folder)
    stat = (folder / "x").stat()
    if change == "another file":  # of the same size and time
        (folder / "new").write_text("z")
        os.utime(folder / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace(folder / "new", folder / "x")
    else:
        (folder / "x").write_text("z" if change == "bytes" else "longer")
    assert digests(folder)["x"] == sha256_of(folder / "x") != first["x"] and read == ["x", "y", "x"]


def test_a_file_that_was_just_written_is_not_trusted(folder: Path, read: list[str]) -> None:
    os.utime(folder / "x", (time.time() + 3600,) * 2)  # else the machine may be so busy that the file is no longer new
    digests(folder)
    digests(folder)
    assert read == ["x", "y", "x"]


def test_a_damaged_note_and_a_place_that_cannot_be_written_only_cost_time(folder: Path, read: list[str]) -> None:
    first = digests(folder)
    for note in (folder.parent / "cache").rglob("*.lines"):
        note.write_text("[1")
    assert digests(folder) == first and read == ["x", "y"] * 2
    shutil.rmtree(folder.parent / "cache")
    (folder.parent / "cache").write_text("a file")
    assert digests(folder) == first and digests(folder) == first and read == ["x", "y"] * 4


def test_a_bundle_that_changed_is_refused_although_it_was_known(bundle_folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle_folder, tmp_path / "bundle")
    open_bundle(copied, trust_unchanged=True)
    graph = copied / "fp32" / "keys.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BundleError, match="changed after it was written"):
        open_bundle(copied, trust_unchanged=True)


@pytest.mark.parametrize("cache_home", ["", "elsewhere"])
def test_the_cache_lies_in_the_users_cache_folder(folder: Path, tmp_path: Path, cache_home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache_home) if cache_home else "")
    Digests(folder, trust=True).of("x")
    expected = tmp_path / (cache_home or "home/.cache") / "wsra"
    assert [path.parent for path in tmp_path.rglob("*.lines")] == [expected / "digests"]
    assert stock_folder().parent == expected
