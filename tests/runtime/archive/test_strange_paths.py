"""Paths that the system refuses, found by tests/hostile: one line each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsra.runtime.errors import DataError, OutputError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.reading import read_bytes

pytestmark = pytest.mark.device


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000])
def test_a_name_that_is_too_long_is_one_line(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wsra.runtime.cli", "convert", f"{name}.npy", "-o", "x.feat", "--snippet-s", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("wsra: ") and "File name too long" in ended.stderr


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="the log of the kernel may not be read here")
def test_a_file_that_holds_nothing_yet_is_refused() -> None:
    with pytest.raises(DataError, match="/proc/kmsg: cannot be read"):
        for _ in range(2):  # the first may find what others have not read yet
            read_bytes(Path("/proc/kmsg"), error=DataError, hint="give another file")


@pytest.mark.parametrize("place", ["/", ".."])
def test_a_place_without_a_name_is_not_locked(place: str) -> None:
    with pytest.raises(OutputError, match="not a name that can be written"), locked(Path(place)):
        pass


def test_the_current_folder_is_locked_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with locked(Path()):
        assert (tmp_path / ".here.lock").is_file()
    assert not (tmp_path / ".here.lock").exists()
