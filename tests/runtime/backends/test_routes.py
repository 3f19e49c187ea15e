"""Which way a bundle is run: what was asked, what was verified here, and nothing in silence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wsra.runtime.backends.choice import choose, choose_for_pictures
from wsra.runtime.backends.engines import SIDECAR, engine_of, engines_folder, write_sidecar
from wsra.runtime.backends.records import read_record, record_paths, write_record
from wsra.runtime.backends.routes import Route, engine_failure, engines_here, open_route, routes_here
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import Device, Gpu
from wsra.runtime.errors import BackendError, BundleError
from wsra.runtime.formats.bundle import Bundle, open_bundle, read_manifest, reject
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.kernels.choose import AutoKernel, open_kernel
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.terminal.streams import claim_streams

pytestmark = pytest.mark.device
PC = Device("Some CPU", 2, 8000, 4000, None, "", "")
ORIN_GPU = Gpu("Orin", "8.7", 8000, "", "12.6", 8)
ORIN = replace(PC, gpu=ORIN_GPU, l4t="36.4.3", board="Jetson")


@pytest.fixture
def bundle(bundle_folder: Path, tmp_path: Path) -> Bundle:
    copied = shutil.copytree(bundle_folder, tmp_path / "bundle", ignore=shutil.ignore_patterns("verified"))
    return open_bundle(copied)


def entry(route: Route, ms: float, *, passed: bool = True, **more: Any) -> dict[str, Any]:
    return {"passed": passed, "precision": route.precision, "provider_asked": route.provider, "ms_per_query": ms, **more}


def record(bundle: Bundle, device: Device, **ms: float) -> None:
    write_record(bundle, device, {name: entry(Route(name, "cpu"), value) for name, value in ms.items()})


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_loads_and_grounds(bundle: Bundle, precision: str, make_features: Callable[..., Features]) -> None:
    """Also in a device's Python 3.10, with the onnxruntime that it has."""
    if precision not in bundle.passed():
        pytest.fail(f"{precision} did not pass when the bundle was made: {bundle.manifest.precisions[precision]['reason']}")
    grounder = Grounder.open(bundle.folder, precision=precision, provider="cpu", threads=1)
    video = make_features(50, grounder.manifest.feature_width, backbone=grounder.manifest.backbone)
    answer = grounder.answer(video, "a red car")
    assert grounder.precision == precision and answer.curve.shape == (50,) and answer.curve.std() > 0


def test_auto_is_fp32_until_something_was_verified_here(bundle: Bundle) -> None:
    assert choose(bundle, PC) == Route("fp32", "cpu") and read_record(bundle, PC) == {}
    assert choose(bundle, PC, RunSettings(precision="int8")) == Route("int8", "cpu")
    assert choose(bundle, PC, RunSettings(provider="engine")) == Route("fp32", "engine")


def test_auto_is_the_fastest_that_passed(bundle: Bundle) -> None:
    record(bundle, PC, fp32=10.0, fp16=8.0, int8=9.0)
    assert choose(bundle, PC) == Route("fp16", "cpu")
    assert choose(bundle, PC, RunSettings(precision="int8")) == Route("int8", "cpu")
    record(bundle, PC, fp32=8.3)  # within what two runs differ by: then the more precise one
    assert choose(bundle, PC) == Route("fp32", "cpu")
    write_record(bundle, PC, {"int8": entry(Route("int8", "cpu"), 1.0, passed=False, reason="moved")})
    assert choose(bundle, PC) == Route("fp32", "cpu")
    with pytest.raises(BundleError, match="int8: moved"):
        choose(bundle, PC, RunSettings(precision="int8", provider="cpu"))
    on_gpu = {f"{name}/cuda": entry(Route(name, "cuda"), 1.0, passed=False, reason="moved") for name in bundle.passed()}
    write_record(bundle, PC, on_gpu)
    with pytest.raises(BundleError, match="fp32/cuda: moved"):
        choose(bundle, PC, RunSettings(provider="cuda"))


def test_one_answer_is_chosen_by_the_first_answer(bundle: Bundle) -> None:
    routes = {"fp32": (300.0, 10.0), "int8": (800.0, 2.0)}
    write_record(bundle, PC, {name: entry(Route(name, "cpu"), ms, first_answer_ms=first) for name, (first, ms) in routes.items()})
    assert choose(bundle, PC, answers=1) == Route("fp32", "cpu")
    assert choose(bundle, PC, answers=1000) == choose(bundle, PC) == Route("int8", "cpu")


def test_videos_have_the_route_that_is_the_fastest_for_pictures(bundle: Bundle) -> None:
    figures = {"cpu": (5.0, 9.0), "cuda": (6.0, 2.0), "engine": (7.0, 1.0)}  # a query, and a picture
    routes: dict[Any, Route] = {way: Route("fp32", way) for way in figures}
    asked = RunSettings()
    write_record(bundle, ORIN, {routes[way].name: entry(routes[way], query) for way, (query, _) in figures.items()})
    assert choose_for_pictures(bundle, ORIN, asked, routes["cuda"]) == (routes["cuda"], None)  # nothing was timed on pictures
    write_record(bundle, ORIN, {routes[way].name: entry(routes[way], query, ms_per_picture=ms) for way, (query, ms) in figures.items()})
    of_sentences = choose(bundle, ORIN, asked)
    assert of_sentences == routes["cpu"]
    assert choose_for_pictures(bundle, ORIN, asked, of_sentences) == (routes["engine"], 1.0)
    assert choose_for_pictures(bundle, PC, asked, of_sentences) == (routes["cpu"], None)  # another device
    assert choose_for_pictures(bundle, ORIN, RunSettings(precision="fp16"), Route("fp16", "cpu")) == (Route("fp16", "cpu"), None)
    assert choose_for_pictures(bundle, ORIN, RunSettings(provider="cuda"), routes["cuda"]) == (routes["cuda"], None)  # it was named
    failed = entry(routes["engine"], 7.0, passed=False, reason="moved", ms_per_picture=1.0)
    write_record(bundle, ORIN, {routes["engine"].name: failed})
    assert choose_for_pictures(bundle, ORIN, asked, of_sentences) == (routes["cuda"], 2.0)
    write_record(bundle, ORIN, {routes["cuda"].name: entry(routes["cuda"], 6.0, ms_per_picture=8.9)})  # it does not win
    assert choose_for_pictures(bundle, ORIN, asked, of_sentences) == (routes["cpu"], 9.0)


def test_the_scorer_stays_on_the_cpu_unless_the_gpu_was_measured_faster(bundle: Bundle) -> None:
    route = Route("fp32", "cuda")
    for scorer_ms, kernel in (({"graph": 9.0, "numpy": 3.0}, AutoKernel), ({"graph": 2.0, "numpy": 3.0}, GraphKernel), (None, AutoKernel)):
        more = {} if scorer_ms is None else {"scorer_ms": scorer_ms}
        write_record(bundle, ORIN, {route.name: entry(route, 5.0, **more)})
        opened = open_kernel(bundle, route, ORIN, RunSettings(allow_fallback=True), on_cpu=False)
        assert type(opened) is kernel


def test_a_change_of_the_power_mode_is_not_silent(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wsra.runtime.backends.routes.library_here", lambda device: ("tensorrt", "10.3.0"))
    folder = engines_folder(bundle.folder, ORIN, "tensorrt", "10.3.0") / "fp16"
    folder.mkdir(parents=True)
    write_sidecar(folder / SIDECAR, engine_of(replace(ORIN, power_mode="MAXN"), "tensorrt", "10.3.0", "fp16", {}))
    slower = replace(ORIN, gpu=replace(ORIN_GPU, multiprocessors=4), power_mode="15W")
    assert choose(bundle, slower) == Route("fp32", "cpu")
    assert "engines are not used" in caplog.text and "in the power mode MAXN, here are 4 in the power mode 15W" in caplog.text
    assert "power mode MAXN" in (engine_failure(bundle, "fp16", slower) or "")


def test_a_portable_plan_is_found_where_no_other_is_built(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.backends.routes.library_here", lambda device: ("tensorrt_rtx", "1.7.1"))
    portable = engines_folder(bundle.folder, PC, "tensorrt_rtx", "1.7.1") / "fp16"
    own = engines_folder(bundle.folder, ORIN, "tensorrt_rtx", "1.7.1") / "fp16"
    assert engines_here(bundle, ORIN, "fp16") == own
    for folder in (portable, own):
        folder.mkdir(parents=True)
        (folder / SIDECAR).write_text("{}")
        assert engines_here(bundle, ORIN, "fp16") == folder


def test_a_record_holds_for_its_device_and_its_graphs(bundle: Bundle) -> None:
    record(bundle, PC, int8=1.0)
    other = replace(PC, cpu="Other CPU")
    assert choose(bundle, PC).precision == "int8" and choose(bundle, other).precision == "fp32"
    path = record_paths(bundle, PC)[0]
    assert path.parent.name == "verified" and read_manifest(bundle.folder) == bundle.manifest  # not sealed
    table = json.loads(path.read_text())
    table["int8"]["of"]["onnxruntime"] = "0.0.1"
    path.write_text(json.dumps(table))
    assert read_record(bundle, PC) == {}
    path.write_text("{")
    assert read_record(bundle, PC) == {} and choose(bundle, PC).precision == "fp32"


def test_a_bundle_that_cannot_be_written_has_its_record_elsewhere(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    record(bundle, PC, int8=1.0)
    assert not (bundle.folder / "verified").exists() and list((tmp_path / "state").rglob("*.json"))
    assert choose(bundle, PC).precision == "int8"


def test_what_failed_is_never_chosen(bundle: Bundle) -> None:
    record(bundle, PC, fp32=10.0, fp16=5.0)
    left = reject(bundle, "fp16", "2 of 8 moved")
    assert choose(left, PC) == Route("fp32", "cpu") and open_bundle(bundle.folder).passed() == left.passed()
    with pytest.raises(BundleError, match=r"fp16 failed its gate \(2 of 8 moved\); choose one of fp32"):
        choose(left, PC, RunSettings(precision="fp16"))
    with pytest.raises(BundleError, match="no precision fp8; choose one of fp32"):
        choose(left, PC, RunSettings(precision="fp8"))
    with pytest.raises(BundleError, match="fp16 failed its gate"):
        open_route(left, Route("fp16", "cpu"), PC)


def test_a_record_of_other_engines_does_not_count(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.backends.routes.library_here", lambda device: ("tensorrt", "10.3.0"))
    folder = engines_folder(bundle.folder, ORIN, "tensorrt", "10.3.0") / "fp16"
    folder.mkdir(parents=True)
    (folder / SIDECAR).write_text("{}")
    route = Route("fp16", "engine")
    write_record(bundle, ORIN, {"fp32": entry(Route("fp32", "cpu"), 9.0), route.name: entry(route, 2.0)})
    assert route.name == "fp16/engine" and choose(bundle, ORIN) == route
    assert choose(bundle, ORIN, RunSettings(provider="cpu")) == Route("fp32", "cpu")
    (folder / SIDECAR).write_text('{"built": "again"}')
    assert choose(bundle, ORIN) == Route("fp32", "cpu")


def test_routes_that_start_here(bundle: Bundle) -> None:
    assert routes_here(bundle, PC) == [Route(name, "cpu") for name in bundle.passed()]


def test_engines_that_cannot_run_are_refused_or_replaced_aloud(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"cannot run here \(there is no GPU to run them\); accept ONNX Runtime on the CPU"):
        open_route(bundle, Route("fp16", "engine"), PC)
    graphs = open_route(bundle, Route("fp16", "engine"), PC, RunSettings(threads=1, allow_fallback=True))
    assert {backend.device for backend in graphs.values()} == {"cpu"} and graphs["text"].provider == "CPUExecutionProvider"
    assert engine_failure(bundle, "fp16", ORIN) is not None


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_cannot_be_had_is_refused_or_replaced_aloud(bundle: Bundle, provider: Any) -> None:
    with pytest.raises(BackendError, match=r"--allow-fallback"):
        open_route(bundle, Route("fp32", provider), PC)
    graphs = open_route(bundle, Route("fp32", provider), PC, RunSettings(threads=1, allow_fallback=True))
    assert {backend.device for backend in graphs.values()} == {"cpu"}


def test_stdout_is_for_data_even_where_a_library_prints_on_it() -> None:
    script = (
        "import os, sys; from wsra.runtime.terminal.streams import claim_streams; claim_streams(); os.write(1, b'noise\\n');"
        " print('data'); os.system('echo child')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "data\n" and "noise" in run.stderr and "child" in run.stderr


def test_a_stdout_that_is_captured_is_left_alone() -> None:
    before = sys.stdout
    claim_streams()
    assert sys.stdout is before
