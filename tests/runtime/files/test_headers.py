"""Headers of safetensors files against the library's own reading of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from wsra.runtime.files.headers import read_header

pytestmark = pytest.mark.device


def test_a_header_says_what_the_library_says(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(5, np.int64), "none": np.zeros((0, 4), np.uint8)}
    save_file(arrays, path, {"format": "x"})
    header = read_header(path)
    with safe_open(path, framework="numpy") as file:
        assert header.metadata == file.metadata() == {"format": "x"}
        assert sorted(header.entries) == sorted(file.keys())
        for name, entry in header.entries.items():
            part = file.get_slice(name)
            assert (entry.dtype, list(entry.shape)) == (part.get_dtype(), part.get_shape())
    content = path.read_bytes()
    assert content.startswith(header.content)
    for name, entry in header.entries.items():
        assert content[entry.start : entry.start + entry.size] == arrays[name].tobytes()
    starts = [entry.start for entry in header.entries.values()]
    assert starts == sorted(starts)


def test_a_file_without_metadata(tmp_path: Path) -> None:
    save_file({"a": np.ones(2)}, tmp_path / "x")
    assert read_header(tmp_path / "x").metadata == {}


def test_a_truncated_or_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file({"a": np.ones(2)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SafetensorError):
        read_header(path)
    with pytest.raises(OSError):
        read_header(tmp_path / "nowhere")
