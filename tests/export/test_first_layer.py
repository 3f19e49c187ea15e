"""`wsra verify --layers` names the layer at which a graph goes wrong, and nothing where none does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

import fake_tensorrt
from schemas import check
from wsra.export import layers
from wsra.export.layers import compare_layers
from wsra.runtime import driver
from wsra.runtime.cli import app_of
from wsra.runtime.errors import BackendError, ConfigError, MissingExtraError, WsraError
from wsra.runtime.formats.bundle import open_bundle


@pytest.mark.parametrize("graph", ["text", "keys", "scorer"])
def test_the_layers_of_a_good_graph_are_within_the_limit(bundle_folder: Path, graph: str) -> None:
    report = compare_layers(open_bundle(bundle_folder), "fp16", graph)
    assert report.first is None and report.layers and 0 < report.worst.error < report.limit
    assert f"fp16 {graph} (rounded on the CPU): all {len(report.layers)} layers are within 0.02" in report.line()


def test_the_first_wrong_layer_is_named(bundle_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))
    bundle = open_bundle(copy)
    path = bundle.graph("fp16", "text")
    model = onnx.load(str(path))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    broken = products[len(products) // 2]
    weight = weights[broken.input[1]]
    weight.CopyFrom(numpy_helper.from_array((1.5 * numpy_helper.to_array(weight)).astype(np.float16), weight.name))
    onnx.save_model(model, str(path))
    report = compare_layers(bundle, "fp16", "text")
    assert report.first is not None and (report.first.operator, report.first.tensor) == ("MatMul", broken.output[0])
    assert f"MatMul {broken.output[0]} (error" in report.line() and "is the first of" in report.line()
    check("verify", {"layers": [report.to_json()]})


def test_the_command_prints_them(bundle_folder: Path) -> None:
    run = CliRunner().invoke(app_of(["verify"]), ["verify", str(bundle_folder), "--layers", "--precision", "fp16", "--json"])
    assert run.exit_code == 0, run.output
    printed = json.loads(run.stdout)
    check("verify", printed)
    assert [entry["graph"] for entry in printed["layers"]] == list(open_bundle(bundle_folder).graphs)


@pytest.mark.parametrize("options", [["--precision", "fp32"], ["--provider", "cuda"], ["--data", "a.jsonl"]])
def test_options_that_do_not_fit_are_refused(bundle_folder: Path, options: list[str]) -> None:
    with pytest.raises(ConfigError, match="--layers"):
        CliRunner().invoke(app_of(["verify"]), ["verify", str(bundle_folder), "--layers", *options], catch_exceptions=False)


def test_without_polygraphy_it_says_what_to_install(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "polygraphy" else found(name, *more))
    with pytest.raises(MissingExtraError, match=r"wsra verify --layers needs polygraphy, .* pip install 'wsra\[layers\]'"):
        CliRunner().invoke(app_of(["verify"]), ["verify", str(bundle_folder), "--layers"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("gpus", "number", "kind", "message"),
    [
        (1, 3, ConfigError, "--device 3: 1 GPU here; the only GPU has the number 0"),
        (0, 3, ConfigError, "--device 3: no GPU starts here"),
        (0, 0, BackendError, "--layers --provider engine: no GPU starts here"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_compiled(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, number: int, kind: type[WsraError], message: str
) -> None:
    monkeypatch.setattr(driver, "open_library", lambda: fake_tensorrt.FakeCuda(gpus))
    monkeypatch.setattr(layers, "compare_layers", lambda *_, **__: pytest.fail("something was compiled"))
    options = ["verify", str(bundle_folder), "--layers", "--provider", "engine", "--device", str(number)]
    with pytest.raises(kind, match=message):
        CliRunner().invoke(app_of(["verify"]), options, catch_exceptions=False)


def test_the_chosen_gpu_is_current_while_an_engine_runs(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, run, current = fake_tensorrt.FakeCuda(gpus=4), layers._run, list[int]()
    monkeypatch.setattr(driver, "open_library", lambda: cuda)

    def on_the_cpu(bundle: Any, precision: str, graph: str, names: Any) -> tuple[str, Any]:
        return layers._rounded_runner(onnx.load(str(bundle.graph(precision, graph))), precision, names)

    def seen(*arguments: Any) -> Any:
        current.append(cuda.current)
        return run(*arguments)

    monkeypatch.setattr(layers, "_engine_runner", on_the_cpu)
    monkeypatch.setattr(layers, "_run", seen)
    options = ["verify", str(bundle_folder), "--layers", "--precision", "fp16", "--provider", "engine", "--device", "3", "--json"]
    run_of_command = CliRunner().invoke(app_of(["verify"]), options, catch_exceptions=False)
    assert run_of_command.exit_code == 0, run_of_command.output
    assert current == [3] * len(open_bundle(bundle_folder).graphs)
    assert cuda.calls["cuDevicePrimaryCtxRelease_v2"] == cuda.calls["cuDevicePrimaryCtxRetain"] == len(current)


def test_an_error_without_a_text_is_named_by_its_type(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(layers.Comparator, "run", fails)
    with pytest.raises(BackendError, match=r"fp16 keys: its layers cannot be run \(RuntimeError\); see wsra doctor"):
        compare_layers(open_bundle(bundle_folder), "fp16", "keys")
