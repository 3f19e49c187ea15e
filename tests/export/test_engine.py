"""Engines compiled for real by TensorRT-RTX, which needs no GPU to build."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tiny import make_checkpoint
from wsra.export.engine import engine_from_onnx, find_library
from wsra.export.pack import export_bundle, profiles_of
from wsra.runtime.bundle import read_manifest
from wsra.runtime.errors import ExportError, MissingExtraError
from wsra.runtime.files import sha256_of
from wsra.runtime.info import describe

pytestmark = pytest.mark.trt
pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")


def test_every_graph_of_both_precisions_compiles(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    manifest = export_bundle(make_checkpoint(tmp_path, epochs=16), out, fp16=True, engine=True, say=lambda _: None)
    engines = describe(out)["engines"]
    assert sorted(Path(engine).parts[2:] for engine in engines) == sorted(
        (precision, f"{name}.plan") for precision in ("fp32", "fp16") for name in ("text", "keys", "scorer")
    )
    assert not any("engines" in name for name in manifest.files)
    for engine in engines:
        plan = out / engine
        sidecar = json.loads(plan.with_suffix(".engine.json").read_text())
        precision, name = plan.parts[-2], plan.stem
        assert sidecar["library"] == "tensorrt_rtx" and sidecar["bytes"] == plan.stat().st_size > 1000
        assert sidecar["onnx_sha256"] == sha256_of(out / precision / f"{name}.onnx")
        assert {key: [tuple(s) for s in shapes] for key, shapes in sidecar["profiles"].items()} == {
            key: list(shapes) for key, shapes in profiles_of(name, manifest).items()
        }
    assert read_manifest(out) == manifest


def graph(path: Path, operator: str) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y"))
    model = helper.make_model(
        helper.make_graph([helper.make_node(operator, ["x"], ["y"], name="the_node")], "g", [x], [y]),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    model.ir_version = 10
    onnx.save_model(model, str(path))
    return path


PROFILE = {"x": ((1, 4), (2, 4), (8, 4))}


def test_a_node_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the_node") as error:
        engine_from_onnx(graph(tmp_path / "a.onnx", "Det"), tmp_path / "a.plan", PROFILE)
    assert "\n" not in str(error.value) and not (tmp_path / "a.plan").exists()


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ExportError, match="cannot parse"):
        engine_from_onnx(tmp_path / "a.onnx", tmp_path / "a.plan", PROFILE)


def test_a_missing_profile_is_named_instead_of_a_silent_batch_of_one(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no profile for the input x"):
        engine_from_onnx(graph(tmp_path / "a.onnx", "Relu"), tmp_path / "a.plan", {})


def test_no_tensorrt_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"wsra\[rtx\]"):
        find_library()


def test_the_plan_is_what_the_library_gave(tmp_path: Path) -> None:
    built = engine_from_onnx(graph(tmp_path / "a.onnx", "Relu"), tmp_path / "a.plan", PROFILE)
    content = (tmp_path / "a.plan").read_bytes()
    assert len(content) == built.bytes and not content.startswith(b"{")
    assert np.frombuffer(content[:4], np.uint8).any()
