"""`wsra verify` of encoders and detectors: their plans against the graph on the CPU, with ONNX Runtime behind TensorRT's signatures."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

for library in ("av", "cv2", "onnx", "onnxruntime", "scipy"):
    pytest.importorskip(library)

import numpy as np  # noqa: E402
import trt_on_ort  # noqa: E402
from encoders import mean_colour, settings_of  # noqa: E402
from onnx import helper  # noqa: E402
from pictures import bright_detector  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from graphs import save, small_bundle  # noqa: E402
from schemas import check  # noqa: E402
from wsra.export.tensorrt.profiles import picture_profile  # noqa: E402
from wsra.runtime.archive import videos  # noqa: E402
from wsra.runtime.archive.videos import open_backbone  # noqa: E402
from wsra.runtime.backbones.detectors.load import load_detector  # noqa: E402
from wsra.runtime.backbones.detectors.settings import read_detector  # noqa: E402
from wsra.runtime.backbones.encoders.encoder_settings import read_settings  # noqa: E402
from wsra.runtime.backends.engines import engines_folder, read_sidecar, write_sidecar  # noqa: E402
from wsra.runtime.backends.records import read_record, write_record  # noqa: E402
from wsra.runtime.backends.routes import Route  # noqa: E402
from wsra.runtime.backends.settings import RunSettings  # noqa: E402
from wsra.runtime.cli import app  # noqa: E402
from wsra.runtime.commands.verify import check_pictures  # noqa: E402
from wsra.runtime.errors import MissingExtraError  # noqa: E402
from wsra.runtime.files.writing import sha256_of  # noqa: E402
from wsra.runtime.formats.bundle import open_bundle, read_manifest, sealed_files, write_manifest  # noqa: E402
from wsra.runtime.verification import picture_check, picture_times  # noqa: E402
from wsra.runtime.verification.picture_times import with_picture_times  # noqa: E402
from wsra.runtime.verification.reports import RouteReport  # noqa: E402
from wsra.runtime.verification.table import verify_table  # noqa: E402

Engines = list[trt_on_ort.OrtEngine]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    monkeypatch.setattr(picture_check, "this_device", lambda **_: trt_on_ort.DEVICE)
    return trt_on_ort.install(monkeypatch)


def encoder_folder(folder: Path) -> Path:
    """An encoder of mean colours, in FP32 and, as if it were another precision, once more."""
    for place in (folder, folder / "fp16"):
        settings_of(mean_colour(place / "image.onnx")).write(place / "backbone.json")
    return folder


def build(graph: Path, **where: Path) -> Path:
    """The plan of an encoder or a detector."""
    place = graph.parent
    settings: Any = (
        read_settings(place / "backbone.json") if (place / "backbone.json").is_file() else read_detector(place / "detector.json")
    )
    return trt_on_ort.build(graph, [picture_profile(settings)], **where)


def put_into(plan: Path, graph: Path, sidecar: Path) -> None:
    """Let a plan run another graph, as a compiler that is wrong would."""
    plan.write_bytes(plan.read_bytes().split(b"\n", 1)[0] + b"\n" + graph.read_bytes())
    engine = read_sidecar(sidecar)
    ((name, built),) = engine.graphs.items()
    changed = replace(built, plan_sha256=sha256_of(plan), bytes=plan.stat().st_size)
    write_sidecar(sidecar, replace(engine, graphs={name: changed}))


def verified(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    run = CliRunner().invoke(app, ["verify", str(folder), "--json", *options])
    assert run.stdout, run.output
    report = json.loads(run.stdout)
    check("verify", report)
    return run.exit_code, report["pictures"], run.stderr


def test_the_plans_of_an_encoder_are_compared_with_its_fp32_graph(engines: Engines, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    build(folder / "image.onnx")
    build(folder / "fp16" / "image.onnx")
    code, found, said = verified(folder)
    assert code == 0 and set(found) == {"fp32/engine", "fp16", "fp16/engine"}
    assert found["fp32/engine"]["provider"] == "tensorrt 10.3.0" and found["fp32/engine"]["device"] == "Orin"
    assert found["fp16"]["provider"] == "CPUExecutionProvider"
    for report in found.values():
        assert report["passed"] and report["ran"] and report["kind"] == "encoder" and report["pictures"] == 16
        assert report["vectors"]["cosine_mean"] == pytest.approx(1.0)
    assert [[shape[0] for shape in engine.shapes] for engine in engines] == [[1, 2, 5, 8]] * 2
    assert "has no golden images, and was compared on pictures of rendered scenes" in said.replace("\n", " ")
    table = CliRunner().invoke(app, ["verify", str(folder), "--precision", "fp16"])
    assert table.exit_code == 0 and "fp16/engine" in table.stdout and "fp32/engine" not in table.stdout


def test_a_plan_that_differs_fails_and_is_put_aside(engines: Engines, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    node = helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=0, name="largest")
    other = save(tmp_path / "other.onnx", [node], {"x": ["n", 3, 8, 8]}, {"y": ["n", 3]}, {"axes": np.array([2, 3])})
    plan = build(folder / "image.onnx")
    put_into(plan, other, folder / "image.engine.json")
    code, found, _ = verified(folder, "--provider", "engine", "--precision", "fp32")
    assert code == 1 and found["fp32/engine"]["ran"] and "vectors: its largest relative error is" in found["fp32/engine"]["reason"]
    left = {path.name for path in folder.iterdir()}
    assert {"image.plan.rejected", "image.engine.json.rejected"} <= left and not {"image.plan", "image.engine.json"} & left
    code, found, _ = verified(folder, "--provider", "engine", "--precision", "fp32")
    assert code == 1 and not found["fp32/engine"]["ran"] and "image.engine.json is missing" in found["fp32/engine"]["reason"]


def test_the_boxes_of_a_detector_are_compared(engines: Engines, tmp_path: Path) -> None:
    folder = bright_detector(tmp_path / "detector")
    plan = build(folder / "detector.onnx")
    code, found, _ = verified(folder)
    assert code == 0 and set(found) == {"fp32/engine"} and found["fp32/engine"]["boxes"]["agreement"] == 100.0
    put_into(plan, bright_detector(tmp_path / "wider", widens=0.5) / "detector.onnx", folder / "detector.engine.json")
    code, found, _ = verified(folder)
    assert code == 1 and "0.0 % of 32 boxes agree with the reference's to an IoU of 0.9" in found["fp32/engine"]["reason"]


def test_the_detector_that_a_bundle_carries_is_compared_too(engines: Engines, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    graph = bright_detector(bundle / "detector") / "detector.onnx"
    assert check_pictures(bundle) == {}  # no plan yet: the graph on the CPU is the reference
    place = engines_folder(bundle, trt_on_ort.DEVICE, "tensorrt", trt_on_ort.VERSION) / "detector"
    plan = build(graph, plan=place / "detector.plan", sidecar=place / "engine.json")
    (report,) = check_pictures(bundle).values()
    assert report.passed and report.boxes is not None and report.boxes.boxes == 32
    put_into(plan, bright_detector(tmp_path / "wider", widens=0.5) / "detector.onnx", place / "engine.json")
    assert list(check_pictures(bundle, provider="engine")) == ["detector/engine"]
    assert not place.exists() and "boxes agree" in (place.with_name("detector.rejected") / "reason.txt").read_text()


def test_without_a_gpu_nothing_is_compared_but_other_precisions_on_the_cpu(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    code, found, _ = verified(folder)
    assert code == 0 and list(found) == ["fp16"]
    shutil.rmtree(folder / "fp16")
    refused = CliRunner().invoke(app, ["verify", str(folder)])
    assert refused.exit_code == 1 and "nothing of it runs here but its FP32 graph" in str(refused.exception)
    wrong = CliRunner().invoke(app, ["verify", str(folder), "--precision", "int8"])
    assert wrong.exit_code == 1 and "--precision int8: not in this folder; choose one of fp32" in str(wrong.exception)


def test_what_cannot_be_compared_without_opencv_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, folder = small_bundle(tmp_path / "bundle"), encoder_folder(tmp_path / "encoder")
    bright_detector(bundle / "detector")
    monkeypatch.setitem(sys.modules, "wsra.runtime.verification.picture_check", None)  # as where cv2 cannot be imported
    assert check_pictures(bundle) == {}
    assert "is not compared" in capsys.readouterr().err
    with pytest.raises(MissingExtraError, match=r"wsra\[video\]"):
        check_pictures(folder)


def passed(*routes: Route) -> dict[str, RouteReport]:
    return {route.name: RouteReport(route, 0, None, True, device="cpu", ms_per_query=5.0) for route in routes}


def with_detector(folder: Path) -> Path:
    """A bundle that carries a detector, with its plan, and is for its features."""
    bundle = small_bundle(folder)
    graph = bright_detector(bundle / "detector") / "detector.onnx"
    manifest = read_manifest(bundle)
    detector = load_detector(bundle / "detector").id(manifest.snippet_s)
    write_manifest(bundle, replace(manifest, backbone=detector, files=sealed_files(bundle)))
    place = engines_folder(bundle, trt_on_ort.DEVICE, "tensorrt", trt_on_ort.VERSION) / "detector"
    build(graph, plan=place / "detector.plan", sidecar=place / "engine.json")
    return bundle


def test_pictures_are_timed_on_every_route_that_passed(engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_times, "this_device", lambda **_: trt_on_ort.DEVICE)
    folder, routes = with_detector(tmp_path / "bundle"), [Route("fp32", "cpu"), Route("fp16", "cpu"), Route("fp32", "engine")]
    reports = passed(*routes) | {"fp16/engine": replace(passed(Route("fp16", "engine"))["fp16/engine"], reason="moved")}
    found = with_picture_times(folder, reports)
    assert all((found[route.name].ms_per_picture or 0.0) > 0 for route in routes) and found["fp16/engine"].ms_per_picture is None
    assert found["fp32"].ms_per_picture == found["fp16"].ms_per_picture  # it is the same graph
    (engine,) = engines
    assert {shape[0] for shape in engine.shapes} == {8}  # full calls
    record = read_record(open_bundle(folder), trt_on_ort.DEVICE)
    assert {name: entry["ms_per_picture"] for name, entry in record.items()} == {
        name: report.ms_per_picture for name, report in found.items() if report.passed
    }
    check("verify", {"precisions": {name: report.to_json() for name, report in found.items()}})
    assert [column.header for column in verify_table(found).renderables[0].columns][-1] == "ms/picture"  # type: ignore[attr-defined]
    kept = with_picture_times(folder, passed(*routes), failed={"engine"})
    assert kept["fp32/engine"].ms_per_picture is None and kept["fp32"].ms_per_picture is not None


def test_missing_features_are_made_on_the_route_of_pictures(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(videos, "this_device", lambda **_: trt_on_ort.DEVICE)
    folder, on_cpu, on_engine = with_detector(tmp_path / "bundle"), Route("fp32", "cpu"), Route("fp32", "engine")
    bundle = open_bundle(folder)
    timed = {on_cpu: 9.0, on_engine: 0.9}
    entries = {route.name: replace(passed(route)[route.name], ms_per_picture=ms).to_json() for route, ms in timed.items()}
    write_record(bundle, trt_on_ort.DEVICE, entries)
    open_backbone(bundle, on_cpu, RunSettings(provider="cpu"))
    assert not engines and "a picture" not in logged.text
    open_backbone(bundle, on_cpu, RunSettings())
    assert len(engines) == 1 and "video: fp32/engine, 0.90 ms a picture" in logged.text


def test_an_encoder_is_timed_in_each_precision(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "bundle")
    settings_of(mean_colour(folder / "fp32" / "image.onnx")).write(folder / "backbone.json")
    write_manifest(folder, replace(read_manifest(folder), files=sealed_files(folder)))
    found = with_picture_times(folder, passed(Route("fp32", "cpu"), Route("fp16", "cpu")))
    assert (found["fp32"].ms_per_picture or 0.0) > 0
    assert found["fp16"].ms_per_picture is None  # it has no image graph in this bundle
