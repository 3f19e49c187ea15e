"""The JSON beside an encoder: every key is checked, and each error is one line that names it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings, read_settings
from wsra.runtime.errors import BackboneError

pytestmark = pytest.mark.device

IMAGE: dict[str, Any] = {
    "format": "wsra.backbone",
    "version": 1,
    "name": "tiny",
    "graph": "tiny.onnx",
    "sha256": "ab" * 32,
    "input": "x",
    "output": "y",
    "layout": "NCHW",
    "size": [8, 12],
    "resize": "crop",
    "colour": "RGB",
    "scale": 1,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "width": 5,
    "normalise": "l2",
}
CLIP = {**IMAGE, "frames": 8, "layout": "NCTHW"}


def written(folder: Path, table: object) -> Path:
    (folder / "tiny.json").write_text(json.dumps(table))
    return folder / "tiny.json"


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    for table in (IMAGE, CLIP, {**IMAGE, "frames_per_snippet": 4, "batch": 3, "output_axis": 2}):
        settings = read_settings(written(tmp_path, table))
        settings.write(tmp_path / "again.json")
        assert read_settings(tmp_path / "again.json") == settings
    assert read_settings(written(tmp_path, CLIP)).frames_per_snippet == 8
    assert read_settings(written(tmp_path, IMAGE)).frames_per_snippet == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "a b", 'name is "a b"; expected letters'),
        ("graph", "../tiny.onnx", "graph is"),
        ("sha256", "AB" * 32, "sha256 is"),
        ("input", "", "input is"),
        ("output", 3, "output is 3"),
        ("layout", "CHW", 'layout is "CHW"; expected "NCHW" or'),
        ("layout", ["NCHW"], 'layout is ["NCHW"]; expected'),
        ("size", 224, "size is 224; expected [height, width]"),
        ("size", [224], "size is [224]"),
        ("size", [224, True], "size is [224, true]"),
        ("resize", "fit", 'resize is "fit"; expected "crop" or "stretch" or "pad"'),
        ("colour", "rgb", 'colour is "rgb"; expected "RGB" or "BGR"'),
        ("scale", 0, "scale is 0"),
        ("scale", float("nan"), "scale is NaN"),
        ("scale", True, "scale is true"),
        ("mean", [0, 0], "mean is [0, 0]; expected three numbers"),
        ("mean", {"r": 0}, "mean is"),
        ("std", [1, 0, 1], "std is [1, 0, 1]; expected three numbers above 0"),
        ("width", "5", 'width is "5"'),
        ("normalise", True, "normalise is true"),
        ("frames", 0, "frames is 0"),
        ("frames_per_snippet", 0, "frames_per_snippet is 0"),
        ("sampling", "random", 'sampling is "random"'),
        ("pool", "max", 'pool is "max"; expected "mean"'),
        ("output_axis", 0, "output_axis is 0"),
        ("batch", "any", 'batch is "any"'),
        ("batch", 0, "batch is 0"),
        ("frames", 8, 'layout is "NCHW" and frames 8; an encoder of 8 frames per call takes "NCTHW" or'),
        ("layout", "NTHWC", 'layout is "NTHWC" and frames 1'),
        ("bogus", 1, "unknown key bogus; known are name, graph"),
    ],
)
def test_a_wrong_value_names_its_key(tmp_path: Path, key: str, value: object, message: str) -> None:
    path = written(tmp_path, {**IMAGE, key: value})
    with pytest.raises(BackboneError) as error:
        read_settings(path)
    assert message in str(error.value) and str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames_per_snippet": 4}, "frames_per_snippet is 4; for a clip encoder it must be frames, 8"),
        ({"sampling": "middle"}, 'sampling is "middle", which is one frame, but frames_per_snippet is 8'),
    ],
)
def test_what_does_not_fit_a_clip_encoder(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BackboneError) as error:
        read_settings(written(tmp_path, {**CLIP, **changes}))
    assert message in str(error.value)


@pytest.mark.parametrize("key", [key for key in IMAGE if key not in ("format", "version")])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BackboneError, match=f"lacks {key}; see docs/backbones.md"):
        read_settings(written(tmp_path, {name: value for name, value in IMAGE.items() if name != key}))


@pytest.mark.parametrize("table", [[], {}, {**IMAGE, "version": 2}, {**IMAGE, "format": "other"}, "text"])
def test_other_json(tmp_path: Path, table: object) -> None:
    with pytest.raises(BackboneError, match="not a wsra.backbone of version 1"):
        read_settings(written(tmp_path, table))


def test_what_is_no_json_or_not_there(tmp_path: Path) -> None:
    deep, long = b"[" * 50_000, b'{"width": ' + b"9" * 5000 + b"}"
    for content, said in ((b"\xff{", "byte 0 is not UTF-8"), (b"{", "line 1: not JSON"), (deep, "nested more than"), (long, "5000 digits")):
        (tmp_path / "tiny.json").write_bytes(content)
        with pytest.raises(BackboneError, match=rf"tiny\.json.*{said}.*write it again"):
            read_settings(tmp_path / "tiny.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(BackboneError, match="a pipe, device or socket"):
        read_settings(tmp_path / "pipe.json")
    with pytest.raises(BackboneError, match="no such file"):
        read_settings(tmp_path / "none.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"size": [4096, 4096], "batch": 4096},
        {"size": [4096, 4096], "frames_per_snippet": 1024},
        {"size": [4096, 4096], "frames": 64, "layout": "NCTHW"},
    ],
)
def test_pictures_that_no_memory_holds_are_refused_before_any_is_taken(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(BackboneError, match=r"size, frames, frames_per_snippet and batch make \d+ numbers at a time; expected 268435456"):
        read_settings(written(tmp_path, {**IMAGE, **changes}))


def test_the_digest_differs_where_numbers_differ_and_only_there(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, IMAGE))
    changes: dict[str, Any] = {
        "sha256": "cd" * 32, "input": "z", "output": "z", "layout": "NHWC", "size": (12, 8), "resize": "pad", "colour": "BGR", "scale": 0.5,
        "mean": (0.0, 0.0, 1.0), "std": (1.0, 1.0, 2.0), "width": 6, "normalise": "none", "frames_per_snippet": 2, "output_axis": 2,
    }  # fmt: skip
    digests = {settings.digest(), *(replace(settings, **{key: value}).digest() for key, value in changes.items())}
    assert len(digests) == len(changes) + 1
    same: dict[str, Any] = {"name": "other", "graph": "other.onnx", "batch": 4, "scale": 1.0}
    assert {replace(settings, **{key: value}).digest() for key, value in same.items()} == {settings.digest()}


def test_numbers_are_numbers_however_they_are_written(tmp_path: Path) -> None:
    """1 and 1.0 in the JSON are one setting, so they have one id."""
    whole = read_settings(written(tmp_path, IMAGE))
    broken = read_settings(written(tmp_path, {**IMAGE, "scale": 1.0, "mean": [0.0, 0, 0.0], "std": [1.0, 1, 1]}))
    assert whole == broken and whole.digest() == broken.digest()
    assert EncoderSettings(**whole.__dict__).digest() == whole.digest()
