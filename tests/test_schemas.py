"""Every JSON that wsra writes is as its schema in docs/schema/ says: of commands, of files they write, of those that 0.1.0 wrote."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from presences import upgrade
from safetensors import safe_open
from typer.testing import CliRunner

from schemas import FOLDER, check
from wsra.runtime.cli import app_of

FIXTURES = Path(__file__).parent / "fixtures" / "v0.1.0"
RECORDED: dict[str, list[str]] = runpy.run_path(str(FIXTURES / "make.py"))["RECORDED"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Path(shutil.copytree(FIXTURES, tmp_path_factory.mktemp("made") / "old"))
    upgrade(made / "bundle")
    return made


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def wsra(*arguments: str) -> str:
    run = CliRunner().invoke(app_of([arguments[0]]), arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.stderr
    return run.stdout


def metadata(path: Path | str) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def lines(path: Path | str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_one(path: Path) -> None:
    table = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(table)
    assert table["$id"] == f"urn:wsra:schema:{path.stem}" and f"{path.stem}.json" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_schema_refuses() -> None:
    with pytest.raises(ValidationError):
        check("verify", {"precisions": {"fp32": {"passed": "yes", "reason": None}}})
    with pytest.raises(ValidationError):
        check("doctor", {"can_ground": True, "checks": [], "more": 1})


@pytest.mark.parametrize("name", RECORDED)
def test_answers_of_today_and_of_0_1_0(name: str) -> None:
    if RECORDED[name][0] == "info" and name != "info-bundle":  # answers about moments and bundles have gained keys since
        check("info", json.loads((FIXTURES / "answers" / f"{name}.json").read_text()))
    check(RECORDED[name][0], json.loads(wsra(*RECORDED[name])))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("verify", ["bundle", "--precision", "fp32", "--provider", "cpu", "--data", "annotations.jsonl", "--features", "features"]),
        ("evaluate", ["bundle", "annotations.jsonl", "--protocol", "charades", "--features", "features", "--provider", "cpu"]),
        ("bench", ["bundle", "features/val3.feat", "--repeats", "1"]),
        ("bench", ["bundle", "yard.mp4", "--repeats", "1", "--seconds", "1"]),
        ("doctor", ["bundle"]),
    ],
)
def test_other_answers(name: str, arguments: list[str]) -> None:
    check(name, json.loads(wsra(name, *arguments, "--json")))


def test_features_keys_cameras_and_predictions() -> None:
    wsra("extract", "yard.mp4", "-o", "today", "--continue")
    wsra("convert", "array.npy", "-o", "today/array.feat", "--snippet-s", "0.5")
    shutil.copy("features/val0.feat", "today")
    wsra("ground", "today/val0.feat", "a cat", "-b", "bundle")
    command = ["evaluate", "bundle", "annotations.jsonl", "--protocol", "spans", "--features", "features", "--predictions-out"]
    wsra(*command, "today/predictions.jsonl")
    for feat in ("today/yard.feat", "today/array.feat", "camera/yard.feat", "array.feat", "features/val0.feat"):
        check("feat", metadata(feat))
    for keys in ("today/val0.keys", FIXTURES / "features" / "val0.keys"):
        check("keys", metadata(keys))
    for camera in ("today/yard.camera", "camera/yard.camera"):
        check("camera", metadata(camera))
    for line in lines("today/predictions.jsonl") + lines("predictions.jsonl"):
        check("prediction", line)
    for line in lines("annotations.jsonl"):
        check("annotation", line)


def test_bundles_and_checkpoints(bundle_folder: Path) -> None:
    made = bundle_folder.parent
    for bundle, checkpoint in ((bundle_folder, made / "runs" / "tiny"), (FIXTURES / "bundle", FIXTURES / "checkpoint")):
        if bundle == bundle_folder:  # 0.1.0 wrote others, which are refused
            check("manifest", json.loads((bundle / "manifest.json").read_text()))
            check("golden", metadata(bundle / "golden.safetensors"))
            [record] = (bundle / "verified").iterdir()
            check("verified", json.loads(record.read_text()))
        check("checkpoint", metadata(checkpoint / "model.safetensors"))
        check("last", json.loads(metadata(checkpoint / "last.safetensors")["state"]))
    for line in lines(made / "train.jsonl"):
        check("caption", line)


def test_vocabularies_and_notes(bundle_folder: Path) -> None:
    check("vocabulary", json.loads((bundle_folder / "vocabulary.json").read_text()))
    check("info", json.loads(wsra("info", str(bundle_folder), "--vocabulary", "--json")))
    answer = json.loads(
        wsra("ground", str(bundle_folder.parent / "features" / "val0.feat"), "no trolley at 5 pm", "-b", str(bundle_folder), "--json")
    )
    check("ground", answer)
    assert [note["kind"] for note in answer["notes"]] == ["unknown", "negation", "time"]


def test_encoders_and_engines(tmp_path: Path) -> None:
    from wsra.runtime.backbones.encoders.encoder_settings import read_settings
    from wsra.runtime.backends.engines import SIDECAR, BuiltGraph, Engine, write_sidecar

    check("backbone", json.loads((FIXTURES / "encoder" / "backbone.json").read_text()))
    read_settings(FIXTURES / "encoder" / "backbone.json").write(tmp_path / "backbone.json")
    check("backbone", json.loads((tmp_path / "backbone.json").read_text()))
    graph = BuiltGraph("0" * 64, "1" * 64, 7, [{"x": ((1, 3), (2, 3), (8, 3))}])
    write_sidecar(tmp_path / SIDECAR, Engine("tensorrt", "10.3.0", "a GPU", "8.7", 16, "", "12.6", "36.4.3", "fp16", {"text": graph}))
    check("engine", json.loads((tmp_path / "engine.json").read_text()))
