"""Opening the graph of an encoder or a detector: in ONNX Runtime, as its plan, or refused with one line."""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

for library in ("cv2", "onnx", "onnxruntime"):
    pytest.importorskip(library)

import trt_on_ort  # noqa: E402
from encoders import mean_colour  # noqa: E402

from wsra.runtime.backends import open_graph as opening  # noqa: E402
from wsra.runtime.backends.engines import Profile  # noqa: E402
from wsra.runtime.backends.open_graph import OpenGraph, open_graph  # noqa: E402
from wsra.runtime.backends.ort import start_failure  # noqa: E402
from wsra.runtime.backends.settings import GraphSettings, Provider  # noqa: E402
from wsra.runtime.errors import BackendError, WsraError  # noqa: E402


def profile(smallest: int, usual: int, largest: int) -> Profile:
    return {"x": ((smallest, 3, 8, 8), (usual, 3, 8, 8), (largest, 3, 8, 8))}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return mean_colour(tmp_path / "e.onnx")


def test_a_call_is_as_large_as_the_largest_profile_and_filled_up_to_what_one_accepts() -> None:
    several = OpenGraph(None, ((1, 1), (4, 16)))  # type: ignore[arg-type]
    assert several.most(8) == 16
    assert [several.filled(count) for count in (1, 2, 3, 4, 5, 16)] == [1, 4, 4, 4, 5, 16]
    free = OpenGraph(None)  # type: ignore[arg-type]
    assert free.most(8) == 8 and free.filled(3) == 3


def test_every_edge_of_a_profile_gives_what_onnx_runtime_gives(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = trt_on_ort.install(monkeypatch)
    trt_on_ort.build(graph, [profile(2, 4, 8)])
    opened, plain = open_graph(graph, GraphSettings(provider="engine")), open_graph(graph)
    assert opened.rows == ((2, 8),) and opened.backend.device == "Orin" and plain.rows == ()
    rng = np.random.default_rng(0)
    for rows in (2, 4, 8, 8, 8, 3):  # repeated shapes may be recorded as a CUDA graph
        feeds = {"x": rng.normal(size=(rows, 3, 8, 8)).astype(np.float32)}
        np.testing.assert_array_equal(opened.backend.infer(feeds)["y"], plain.backend.infer(feeds)["y"])
    assert [shape[0] for shape in engines[0].shapes] == [2, 4, 8, 8, 8, 3]
    for rows in (1, 9):
        with pytest.raises(BackendError, match=rf"fed with x \({rows}, 3, 8, 8\); the engine takes x \(2, 3, 8, 8\) to \(8, 3, 8, 8\)"):
            opened.backend.infer({"x": np.zeros((rows, 3, 8, 8), np.float32)})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("no plan", "e.engine.json is missing"),
        ("other graph", "e was built from a graph with sha256"),
        ("other GPU", "built for Xavier sm72 with 8 multiprocessors, this GPU is Orin sm87"),
        ("truncated", "e.plan is truncated or changed"),
        ("no GPU", "there is no GPU"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_or_the_cpu_runs_the_graph(
    graph: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, reason: str
) -> None:
    trt_on_ort.install(monkeypatch)
    gpu = trt_on_ort.DEVICE.gpu
    assert gpu is not None
    xavier = replace(trt_on_ort.DEVICE, gpu=replace(gpu, name="Xavier", compute_capability="7.2"))
    if kind != "no plan":
        plan = trt_on_ort.build(graph, [profile(1, 4, 8)], device=xavier if kind == "other GPU" else trt_on_ort.DEVICE)
    if kind == "other graph":
        mean_colour(graph, shape=("rows", 3, 8, 8))
    elif kind == "truncated":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif kind == "no GPU":
        monkeypatch.setattr(opening, "this_device", lambda **_: replace(trt_on_ort.DEVICE, gpu=None))
    with pytest.raises(WsraError) as error:
        open_graph(graph, GraphSettings(provider="engine"))
    message = str(error.value)
    assert reason in message and "\n" not in message and message.startswith(f"{graph}: its engine cannot run here (")
    assert f"build it with wsra build {graph.parent}, or accept ONNX Runtime on the CPU with --allow-fallback" in message
    with caplog.at_level(logging.WARNING):
        opened = open_graph(graph, GraphSettings(provider="engine", allow_fallback=True))
    assert opened.backend.device == "cpu" and opened.rows == ()
    (said,) = caplog.messages
    assert said == message.replace(
        ", or accept ONNX Runtime on the CPU with --allow-fallback", "; until then ONNX Runtime runs it on the CPU"
    )


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_said_where_the_cpu_is_accepted(
    graph: Path, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    if start_failure(provider) is None:
        pytest.skip(f"{provider} starts here")
    with pytest.raises(BackendError, match="--allow-fallback"):
        open_graph(graph, GraphSettings(provider=provider))
    assert open_graph(graph, GraphSettings(provider=provider, allow_fallback=True)).backend.device == "cpu"
    (said,) = caplog.messages
    assert f"{graph}: the provider {provider} cannot be had here, see wsra doctor" in said and "--allow-fallback" not in said


def test_a_plan_of_a_bundle_is_in_its_engines(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trt_on_ort.install(monkeypatch)
    inside = tmp_path / "bundle" / "fp16" / "image.onnx"
    inside.parent.mkdir(parents=True)
    graph.rename(inside)
    folder = tmp_path / "bundle" / "engines" / f"{trt_on_ort.DEVICE.name}-trt{trt_on_ort.VERSION}" / "fp16"
    with pytest.raises(BackendError, match=r"engine\.json is missing\); build it with wsra build .*bundle, or accept"):
        open_graph(inside, GraphSettings(provider="engine", bundle=tmp_path / "bundle"))
    trt_on_ort.build(inside, [profile(1, 4, 8)], plan=folder / "image.plan", sidecar=folder / "engine.json")
    assert open_graph(inside, GraphSettings(provider="engine", bundle=tmp_path / "bundle")).most(16) == 8


@pytest.mark.parametrize(("provider", "keeps"), [("tensorrt", True), ("cuda", False)])
def test_the_tensorrt_provider_of_a_graph_of_no_route_keeps_what_it_builds(
    graph: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider, keeps: bool
) -> None:
    given: list[dict[str, str]] = []

    class Opened:
        device = "Orin"

        def __init__(self, *_: object, options: dict[str, str], **__: object) -> None:
            given.append(options)

    monkeypatch.setattr(opening, "this_device", lambda **_: trt_on_ort.DEVICE)
    monkeypatch.setattr(opening, "OrtBackend", Opened)
    open_graph(graph, GraphSettings(provider), profile=profile(1, 8, 8))
    (options,) = given
    assert (options.get("trt_engine_cache_enable") == "1" and options["trt_profile_max_shapes"] == "x:8x3x8x8") is keeps
    assert bool(options) is keeps and (graph.parent / "engines").is_dir() is keeps


@pytest.mark.trt
def test_the_stand_in_has_the_names_and_arguments_of_tensorrt() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    compared = 0
    for ours, theirs in ((trt_on_ort.OrtEngine, trt.ICudaEngine), (trt_on_ort.OrtContext, trt.IExecutionContext)):
        for name, member in vars(ours).items():
            if name.startswith("_"):
                continue
            assert hasattr(theirs, name), name
            if not isinstance(member, property):
                documented = str(getattr(theirs, name).__doc__)
                for argument in list(inspect.signature(member).parameters)[1:]:
                    assert f"{argument}: " in documented, f"{name}: {argument} is not in {documented}"
                    compared += 1
    assert compared > 10
