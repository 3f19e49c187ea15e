"""On a real GPU: engines built, run, compared with ONNX Runtime on the CPU and timed by the GPU's own clock."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from wsra.runtime.backends.engines import SIDECAR, misfit, read_sidecar
from wsra.runtime.backends.ort import OrtBackend, start_failure
from wsra.runtime.device import find_gpu, this_device
from wsra.runtime.errors import BackendError, WsraError
from wsra.runtime.formats.bundle import GRAPHS, open_bundle

# Largest error of an engine against the same graph on the CPU, relative L2 of an output.
LIMIT = {
    "fp32": 1e-4,  # sums in another order; wsra build clears TF32
    "fp16": 1e-2,  # 11 bits, and the library may keep in FP32 what ONNX Runtime rounds in between
    # A value that lies at the border of two steps of 1/127 falls to either side. Noise of half a unit in the last place on the embeddings
    # moved the demo's INT8 outputs by 1.7e-2 to 2.7e-2 on the CPU, and a GPU adds FP16's roundings.
    "int8": 1e-1,
}
# The same for FP32 graphs in ONNX Runtime's providers.
PROVIDER_LIMIT = {
    "cuda": 1e-4,  # wsra sets use_tf32 to 0
    "tensorrt": 1e-2,  # it has no such option, so factors of products are rounded to TF32's 10 bits, about as in FP16
}


def _obstacle() -> str:
    """Why no engine can run here; "" when one can."""
    try:
        from wsra.runtime.backends.cuda import Cuda
        from wsra.runtime.backends.libraries import find_library

        find_library()
        Cuda().close()
    except WsraError as err:
        return str(err)
    return ""


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(find_gpu() is None, reason="no NVIDIA GPU starts here")]


@pytest.fixture(scope="module")
def built(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with engines for this GPU."""
    if obstacle := _obstacle():
        pytest.skip(obstacle)
    from wsra.export.tensorrt.build import build_bundle
    from wsra.runtime.backends.trt import TrtBackend

    copy = shutil.copytree(bundle_folder, tmp_path_factory.mktemp("gpu") / "bundle")
    build_bundle(copy, None)
    try:
        with TrtBackend(engines(copy)["fp32"] / "keys.plan"):
            pass
    except BackendError as err:
        if "never runs on this GPU" in str(err):
            pytest.skip(str(err))
        raise
    return copy


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image tower of a tiny CLIP in FP32 and FP16, with plans for this GPU."""
    if obstacle := _obstacle():
        pytest.skip(obstacle)
    for library in ("av", "cv2", "torch", "transformers"):
        pytest.importorskip(library)
    from towers import make_towers
    from wsra.export.encoder import export_encoder
    from wsra.export.tensorrt.folders import build_folder
    from wsra.runtime.backends.trt import TrtBackend

    folder = tmp_path_factory.mktemp("gpu-encoder")
    export_encoder(str(make_towers(folder / "clip", "clip")), folder / "encoder", fp16=True)
    plans = build_folder(folder / "encoder")
    try:
        with TrtBackend(plans[0]):
            pass
    except BackendError as err:
        if "never runs on this GPU" in str(err):
            pytest.skip(str(err))
        raise
    return folder / "encoder"


def cases(graph: str, manifest: Any) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Feeds at the smallest, usual and largest shapes of every profile."""
    rng = np.random.default_rng(0)
    found = []
    for profile in manifest.profiles[graph]:
        for which in range(3):
            feeds: dict[str, np.ndarray[Any, Any]] = {}
            for name, shapes in profile.items():
                if name == "attention_mask":
                    feeds[name] = np.ones(shapes[which], np.int64)
                elif name == "input_ids":
                    feeds[name] = rng.integers(0, 100, shapes[which])
                else:
                    feeds[name] = rng.normal(size=shapes[which]).astype(np.float32)
            found.append(feeds)
    return found


def engines(folder: Path) -> dict[str, Path]:
    from wsra.runtime.backends.engines import engines_folder
    from wsra.runtime.backends.libraries import find_library

    library = find_library()
    place = engines_folder(folder, this_device(), library.__name__, str(library.__version__))
    return {path.name: path for path in sorted(place.iterdir()) if path.is_dir()}


def test_engines_fit_and_agree_with_the_cpu(built: Path) -> None:
    from wsra.runtime.backends.libraries import find_library
    from wsra.runtime.backends.trt import TrtBackend

    bundle, library = open_bundle(built), find_library()
    assert sorted(engines(built)) == sorted(bundle.passed())
    for precision, folder in engines(built).items():
        graphs = {graph: bundle.graph(precision, graph) for graph in GRAPHS}
        assert misfit(read_sidecar(folder / SIDECAR), folder, graphs, this_device(), library.__name__, str(library.__version__)) is None
        for graph, source in graphs.items():
            with TrtBackend(folder / f"{graph}.plan") as engine, OrtBackend(source, optimise=False) as cpu:
                assert set(engine.inputs) == set(cpu.inputs) and set(engine.outputs) == set(cpu.outputs)
                for feeds in [*cases(graph, bundle.manifest), *cases(graph, bundle.manifest)[::-1]]:
                    expected = cpu.infer(feeds)
                    for call in range(3):  # the second records a CUDA graph, and the third only launches it
                        got = engine.infer(feeds)
                        for name, value in expected.items():
                            assert got[name].shape == value.shape and got[name].dtype == value.dtype
                            error = np.linalg.norm(got[name].astype(np.float64) - value) / np.linalg.norm(value.astype(np.float64))
                            assert error < LIMIT[precision], (precision, graph, name, value.shape, call, error)


def test_shapes_beyond_the_profiles_are_refused(built: Path) -> None:
    from wsra.runtime.backends.trt import TrtBackend

    manifest = open_bundle(built).manifest
    largest = manifest.profiles["keys"][-1]["features"][2]
    with TrtBackend(engines(built)["fp32"] / "keys.plan") as engine:
        with pytest.raises(BackendError, match="the engine takes"):
            engine.infer({"features": np.zeros((largest[0] + 1, largest[1]), np.float32)})
        assert engine.infer({"features": np.zeros(largest, np.float32)})["keys"].shape[0] == largest[0]


def test_the_kernels_of_tensorrt_rtx_are_kept(built: Path) -> None:
    from wsra.runtime.backends.libraries import find_library
    from wsra.runtime.backends.rtx import SUFFIX
    from wsra.runtime.backends.trt import TrtBackend

    if find_library().__name__ != "tensorrt_rtx":
        pytest.skip("TensorRT compiles its kernels at build time")
    plan = engines(built)["fp32"] / "keys.plan"
    times_s = []
    for _ in range(2):
        start = perf_counter()
        with TrtBackend(plan) as engine:
            engine.infer(cases("keys", open_bundle(built).manifest)[0])
        times_s.append(perf_counter() - start)
        assert plan.with_suffix(SUFFIX).stat().st_size > 0
    assert times_s[1] < times_s[0]  # the second start compiles nothing


def test_latency(built: Path, record_property: pytest.RecordProperty) -> None:
    from wsra.runtime.backends.trt import TrtBackend

    gpu = find_gpu()
    assert gpu is not None
    for precision, folder in engines(built).items():
        for graph in GRAPHS:
            feeds = cases(graph, open_bundle(built).manifest)[1]
            with TrtBackend(folder / f"{graph}.plan", device_name=gpu.name) as engine:
                engine.milliseconds(feeds, 5)
                times = engine.milliseconds(feeds, 20)
            assert len(times) == 20 and all(0 < time_ms < 1000 for time_ms in times)
            record_property(f"{gpu.name} {precision} {graph}", f"{statistics.median(times):.3f} ms")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_pictures(precision: str, encoder: Path, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    check_pictures(encoder, precision, tmp_path, record_property)


def check_pictures(encoder: Path, precision: str, folder: Path, note: Callable[[str, object], None]) -> None:
    """Features of a small video through the plan, against ONNX Runtime on the CPU; notes the milliseconds of a full call."""
    from encoders import film

    from wsra.runtime.backbones.encoders.encoder import Encoder
    from wsra.runtime.backbones.encoders.encoder_settings import read_settings
    from wsra.runtime.backbones.registry import load_backbone
    from wsra.runtime.backends.settings import GraphSettings
    from wsra.runtime.bench.timing import in_turns, one_stage
    from wsra.runtime.extraction.batch import extract_features

    def paint(image: np.ndarray[Any, Any], at_s: float) -> None:
        left = round(80 * at_s)
        image[200:300, left : left + 80] = 40, 40, 200

    place = encoder if precision == "fp32" else encoder / precision
    video = film(folder / "video.mp4", seconds=6.0, paint=paint)
    engine, cpu = GraphSettings("engine"), GraphSettings("cpu")
    found, expected = (extract_features(video, backbone=load_backbone(place, run, regions="grid")).values for run in (engine, cpu))
    assert found.shape == expected.shape and len(found) == 6
    error = np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected.astype(np.float64))
    assert error < LIMIT[precision], (precision, error)
    settings = read_settings(place / "backbone.json")
    opened = Encoder(settings, place / settings.graph, engine)
    pictures = np.random.default_rng(0).integers(0, 256, (opened.per_call, *settings.size, 3), np.uint8)
    run = one_stage("call", partial(opened.pictures.infer, opened.prepare([[picture] for picture in pictures])))
    in_turns([run], rounds=5)
    note(f"{opened.device} {precision} image, {opened.per_call} pictures", f"{in_turns([run], rounds=20)['call'].p50_ms:.3f} ms")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_providers_of_onnxruntime(bundle_folder: Path, provider: str) -> None:
    reason = start_failure(provider)
    if reason is not None:
        pytest.skip(f"the provider {provider} does not start: {reason}")
    bundle = open_bundle(bundle_folder)
    for graph in GRAPHS:
        source = bundle.graph("fp32", graph)
        with OrtBackend(source, provider=provider) as backend, OrtBackend(source, optimise=False) as cpu:
            assert backend.device == this_device().gpu.name  # type: ignore[union-attr]
            for feeds in cases(graph, bundle.manifest):
                for name, value in cpu.infer(feeds).items():
                    error = np.linalg.norm(backend.infer(feeds)[name] - value) / np.linalg.norm(value)
                    assert error < PROVIDER_LIMIT[provider], (provider, graph, name, error)
