"""The JSON beside a detector: every key is checked, and each error is one line that names it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wsra.runtime.backbones.detectors.classes import CLASSES, NAMES, OTHER, class_of, known, label
from wsra.runtime.backbones.detectors.settings import DetectorSettings, read_detector
from wsra.runtime.errors import BackboneError

pytestmark = pytest.mark.device

PLAIN: dict[str, Any] = {
    "format": "wsra.detector",
    "version": 1,
    "name": "tiny",
    "graph": "tiny.onnx",
    "sha256": "ab" * 32,
    "input": "x",
    "size": [64, 96],
    "resize": "stretch",
    "outputs": "detr",
    "names": ["logits", "boxes"],
    "classes": ["person", "", "car"],
}
YOLOX = {**PLAIN, "resize": "corner", "outputs": "yolox", "names": ["output"], "strides": [8, 16, 32], "scale": 1, "nms": 0.45}


def written(folder: Path, table: object) -> Path:
    (folder / "tiny.json").write_text(json.dumps(table))
    return folder / "tiny.json"


def test_the_schema_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema")
    from schemas import check

    for table in (PLAIN, YOLOX):
        check("detector", table)
        read_detector(written(tmp_path, table)).write(tmp_path / "again.json")
        check("detector", json.loads((tmp_path / "again.json").read_text()))


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    for table in (PLAIN, YOLOX, {**PLAIN, "outputs": "boxes", "names": ["all"], "follow": ["car"], "batch": 3, "frames_per_s": 8}):
        settings = read_detector(written(tmp_path, table))
        settings.write(tmp_path / "again.json")
        assert read_detector(tmp_path / "again.json") == settings


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "a b", 'name is "a b"; expected letters'),
        ("graph", "../tiny.onnx", "graph is"),
        ("sha256", "AB" * 32, "sha256 is"),
        ("input", "", "input is"),
        ("size", 640, "size is 640; expected [height, width]"),
        ("resize", "crop", 'resize is "crop"; expected "stretch" or "pad" or "corner"'),
        ("outputs", "yolo", 'outputs is "yolo"; expected "detr" or "yolox" or "boxes"'),
        ("names", ["logits"], 'names are 1 and outputs "detr"; that layout has 2'),
        ("names", [], "names is []"),
        ("names", ["logits", ""], "names is"),
        ("classes", [], "classes is []"),
        ("classes", ["", ""], 'classes is ["", ""]; expected the name of each class'),
        ("classes", {"0": "person"}, "classes is"),
        ("layout", "NCTHW", 'layout is "NCTHW"; expected "NCHW" or "NHWC"'),
        ("colour", "rgb", 'colour is "rgb"'),
        ("scale", 0, "scale is 0"),
        ("mean", [0, 0], "mean is [0, 0]"),
        ("std", [1, 0, 1], "std is [1, 0, 1]"),
        ("fill", 300, "fill is 300; expected a grey level"),
        ("scores", "none", 'scores is "none"; expected "sigmoid" or "softmax"'),
        ("units", "cells", 'units is "cells"; expected "pixels" or "shares"'),
        ("strides", [8, 0], "strides is [8, 0]"),
        ("strides", [8], 'strides are [8]; they are for "yolox"'),
        ("threshold", 0, "threshold is 0; expected a number above 0"),
        ("threshold", True, "threshold is true"),
        ("nms", 1, "nms is 1; expected null, or a number"),
        ("follow", [], "follow is []; expected null, or names"),
        ("follow", ["dog"], "follow names dog, which is not in classes"),
        ("frames_per_s", 0.5, "frames_per_s is 0.5; expected a number from 1 to 30"),
        ("batch", "any", 'batch is "any"'),
        ("batch", 4096, None),
        ("bogus", 1, "unknown key bogus; known are name, graph"),
    ],
)
def test_a_wrong_value_names_its_key(tmp_path: Path, key: str, value: object, message: str | None) -> None:
    path = written(tmp_path, {**PLAIN, key: value})
    if message is None:
        assert getattr(read_detector(path), key) == value
        return
    with pytest.raises(BackboneError) as error:
        read_detector(path)
    assert message in str(error.value) and str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"strides are \[8, 28\].* each must divide size \[64, 96\]"):
        read_detector(written(tmp_path, {**YOLOX, "strides": [8, 28]}))
    with pytest.raises(BackboneError, match=r"size and batch make \d+ numbers at a time; expected 268435456 at most"):
        read_detector(written(tmp_path, {**PLAIN, "size": [4096, 4096], "batch": 64}))


@pytest.mark.parametrize("key", [key for key in PLAIN if key not in ("format", "version")])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BackboneError, match=f"lacks {key}; see docs/detectors.md"):
        read_detector(written(tmp_path, {name: value for name, value in PLAIN.items() if name != key}))


@pytest.mark.parametrize("table", [[], {}, {**PLAIN, "version": 2}, {**PLAIN, "format": "wsra.backbone"}, "text"])
def test_other_json(tmp_path: Path, table: object) -> None:
    with pytest.raises(BackboneError, match="not a wsra.detector of version 1"):
        read_detector(written(tmp_path, table))
    with pytest.raises(BackboneError, match="no such file; expected the JSON settings of the detector"):
        read_detector(tmp_path / "none.json")


def test_the_digest_differs_where_numbers_differ_and_only_there(tmp_path: Path) -> None:
    settings = read_detector(written(tmp_path, PLAIN))
    changes: dict[str, Any] = {
        "sha256": "cd" * 32, "input": "z", "size": (96, 64), "resize": "pad", "names": ("boxes", "logits"), "layout": "NHWC",
        "classes": ("person", "x", "car"), "colour": "BGR", "scale": 1.0, "mean": (0.0, 0.0, 1.0), "std": (1.0, 1.0, 2.0), "fill": 0,
        "scores": "softmax", "units": "shares", "threshold": 0.4, "nms": 0.5, "follow": ("car",), "frames_per_s": 8.0,
    }  # fmt: skip
    digests = {settings.digest(), *(replace(settings, **{key: value}).digest() for key, value in changes.items())}
    yolox = read_detector(written(tmp_path, YOLOX))
    digests |= {yolox.digest(), replace(yolox, strides=()).digest()}
    assert len(digests) == len(changes) + 3
    same: dict[str, Any] = {"name": "other", "graph": "other.onnx", "batch": 4, "std": (1, 1, 1)}
    assert {replace(settings, **{key: value}).digest() for key, value in same.items()} == {settings.digest()}
    assert DetectorSettings(**settings.__dict__).digest() == settings.digest()


def test_classes_by_the_names_of_data_sets() -> None:
    names = {
        "person": "person",
        "Pedestrian": "person",
        "motorbike": "motorcycle",
        "Van": "car",
        "backpack": "bag",
        "traffic light": "other",
    }
    assert {name: CLASSES[class_of(name)] for name in names} == names
    assert known(["Person", "", "traffic light", "suit_case", "lorry"]) == ["Person", "lorry"]
    assert class_of("") == OTHER
    numbers = dict(zip(NAMES, label(CLASSES.index("dog"), 0.75).tolist(), strict=True))
    assert numbers == {**dict.fromkeys(NAMES, 0.0), "is dog": 1.0, "score": 0.75}
