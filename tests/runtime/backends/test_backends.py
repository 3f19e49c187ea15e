"""Backends: ONNX Runtime's providers for real, TensorRT over made-up libraries."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

import fake_tensorrt
from wsra.runtime.backends import ort
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.ort import OrtBackend, start_failure
from wsra.runtime.backends.trt import TrtBackend
from wsra.runtime.backends.trt_log import cleaned
from wsra.runtime.backends.trt_profiles import fitting_profile
from wsra.runtime.errors import BackendError, MissingExtraError

pytestmark = pytest.mark.device

PROFILES: fake_tensorrt.Profiles = [{"x": ((1, 4), (2, 4), (8, 4))}, {"x": ((8, 4), (16, 4), (64, 4))}]
needs_no_cuda = pytest.mark.skipif(start_failure("cuda") is None, reason="CUDA starts here")


@pytest.fixture
def tiny_graph(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(ort._TINY)
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "g.plan"
    path.write_bytes(b"plan")
    return path


def rows(count: int) -> dict[str, Any]:
    return {"x": np.arange(4.0 * count, dtype=np.float32).reshape(count, 4)}


def test_the_cpu_runs_a_graph(tiny_graph: Path) -> None:
    for optimise in (True, False):
        with OrtBackend(tiny_graph, optimise=optimise) as backend:
            assert (backend.provider, backend.device) == ("CPUExecutionProvider", "cpu")
            assert backend.infer({"x": np.ones(1, np.float32)})["y"].tolist() == [1.0]


def test_an_error_without_a_text_is_named_by_its_type(tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def run(self, *_: Any) -> Any:
            raise RuntimeError

    backend = OrtBackend(tiny_graph)
    monkeypatch.setattr(backend, "_session", Failing())
    with pytest.raises(BackendError, match=r"fails on x \(1,\) \(RuntimeError\); run wsra verify"):
        backend.infer({"x": np.ones(1, np.float32)})


def test_int8_is_computed_as_the_graph_says(bundle_folder: Path) -> None:
    """ONNX Runtime's own integer kernels would saturate on CPUs without VNNI, and differ between CPUs."""
    graph, tokens = bundle_folder / "int8" / "text.onnx", np.arange(3, 9)[None]
    feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    exact, found = (OrtBackend(graph, optimise=optimise).infer(feeds)["text"] for optimise in (False, True))
    np.testing.assert_allclose(found, exact, atol=1e-5 * np.abs(exact).max())


def test_the_cpu_starts() -> None:
    assert start_failure("cpu") is None


@needs_no_cuda
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_does_not_start_is_an_error(tiny_graph: Path, provider: str, capfd: pytest.CaptureFixture[str]) -> None:
    reason = start_failure(provider)
    assert reason and "\n" not in reason
    with pytest.raises(BackendError, match=f"provider {provider} does not start") as error:
        OrtBackend(tiny_graph, provider=provider)
    assert all(word in str(error.value) for word in (reason, "wsra[gpu]", "--allow-fallback", "wsra doctor"))
    with OrtBackend(tiny_graph, provider=provider, allow_fallback=True) as backend:
        assert (backend.provider, backend.device) == ("CPUExecutionProvider", "cpu")
    assert capfd.readouterr().out == ""


class SilentFallback:
    """ONNX Runtime as it is with a GPU build and no CUDA: it names the provider, tells why on stderr and takes the CPU."""

    def __init__(
        self, model: object, options: object, *, providers: list[str], provider_options: list[dict[str, str]], enable_fallback: int
    ) -> None:
        assert not enable_fallback  # else it prints on stdout and tries again by itself
        assert len(provider_options) == len(providers)
        self.providers = ["CPUExecutionProvider"]
        if providers[0] != "CPUExecutionProvider":
            os.write(2, b"\x1b[1;31m2026 [E:onnxruntime] Failed to load library cuda.so with error: libcublas.so.13: not there\n\x1b[m\n")

    def get_providers(self) -> list[str]:
        return self.providers

    def get_inputs(self) -> list[Any]:
        return []

    get_outputs = get_inputs


def test_a_silent_fallback_is_told(tiny_graph: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", SilentFallback)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(ort.PROVIDERS.values()))
    assert start_failure("cuda") == "libcublas.so.13: not there"
    with pytest.raises(BackendError, match="libcublas.so.13: not there"):
        OrtBackend(tiny_graph, provider="cuda")
    assert OrtBackend(tiny_graph, provider="cuda", allow_fallback=True).provider == "CPUExecutionProvider"
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\x08\x09")  # version 9 of the format, and no graph
    with pytest.raises(BackendError, match="refuses the graph on cpu") as error:
        OrtBackend(tmp_path / "a.onnx", provider="cpu", allow_fallback=True)
    assert "export it again" in str(error.value)


def test_no_onnxruntime(tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"wsra\[cpu\]"):
        OrtBackend(tiny_graph)
    with pytest.raises(MissingExtraError, match=r"wsra\[gpu\]"):
        OrtBackend(tiny_graph, provider="cuda")
    assert "onnxruntime does not load" in (start_failure("cuda") or "")


def test_an_engine_runs_and_its_memory_grows(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, _ = fake_tensorrt.install(monkeypatch, PROFILES)
    with TrtBackend(plan, device_name="a GPU") as backend:
        assert (backend.provider, backend.device) == ("tensorrt 10.3.0", "a GPU")
        assert backend.inputs["x"].shape == ("dim0", 4) and backend.inputs["x"].dtype == "float32"
        for count in (2, 1, 8):
            feeds = rows(count)
            np.testing.assert_array_equal(backend.infer(feeds)["y"], 2 * feeds["x"])
        for allocated, freed in (("cuMemAlloc_v2", "cuMemFree_v2"), ("cuMemHostAlloc", "cuMemFreeHost")):
            assert cuda.calls[allocated] == 4 and cuda.calls[freed] == 2  # x and y for 2 rows, then for 8; 1 row needs no more
        np.testing.assert_array_equal(backend.infer({"x": np.asfortranarray(rows(3)["x"])})["y"], 2 * rows(3)["x"])
        assert backend.milliseconds(rows(2), 3) == [0.25] * 3
    assert cuda.memory == {} and cuda.pinned == {}
    assert cuda.calls["cuStreamDestroy_v2"] == cuda.calls["cuDevicePrimaryCtxRelease_v2"] == 1
    assert cuda.calls["cuEventCreate"] == cuda.calls["cuEventDestroy_v2"] == 2


def test_an_answer_is_not_overwritten_by_the_next(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, PROFILES)
    with TrtBackend(plan) as backend:
        answers = [backend.infer({"x": np.full((2, 4), value, np.float32)})["y"] for value in (1.0, 5.0, 7.0)]
    assert [float(answer[0, 0]) for answer in answers] == [2.0, 10.0, 14.0]


def test_shapes_and_addresses_are_set_only_when_they_change(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    with TrtBackend(plan) as backend:
        for _ in range(3):
            backend.infer(rows(2))
        assert engine.context is not None
        assert engine.context.calls["set_input_shape"] == 1 and engine.context.calls["set_tensor_address"] == 2
        backend.infer(rows(1))  # another shape in the same memory
        assert engine.context.calls["set_input_shape"] == 2 and engine.context.calls["set_tensor_address"] == 2
        backend.infer(rows(8))  # larger memory
        assert engine.context.calls["set_input_shape"] == 3 and engine.context.calls["set_tensor_address"] == 4


def test_repeated_shapes_run_as_a_cuda_graph(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    with TrtBackend(plan) as backend:
        for call in range(5):
            feeds = {"x": rows(2)["x"] + call}
            np.testing.assert_array_equal(backend.infer(feeds)["y"], 2 * feeds["x"])
        assert engine.context is not None  # the first call runs by itself, the second is recorded, and this is launched 4 times
        assert engine.context.calls["execute_async_v3"] == 2
        assert cuda.calls["cuStreamBeginCapture_v2"] == 1 and cuda.calls["cuGraphLaunch"] == 4
        assert cuda.calls["cuMemcpyHtoDAsync_v2"] == cuda.calls["cuMemcpyDtoHAsync_v2"] == 2
        np.testing.assert_array_equal(backend.infer(rows(8))["y"], 2 * rows(8)["x"])  # the graph holds other shapes: it goes
        assert cuda.calls["cuGraphExecDestroy"] == 1 and cuda.calls["cuGraphLaunch"] == 4
        np.testing.assert_array_equal(backend.infer(rows(8))["y"], 2 * rows(8)["x"])
    assert cuda.calls["cuGraphExecDestroy"] == cuda.calls["cuGraphDestroy"] == cuda.calls["cuStreamBeginCapture_v2"] == 2


@pytest.mark.parametrize("fails", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_without_cuda_graphs_it_goes_on_with_one_message(
    plan: Path, fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cuda, _ = fake_tensorrt.install(monkeypatch, PROFILES)
    cuda.fail = {fails: 901}
    with caplog.at_level("INFO", "wsra"), TrtBackend(plan) as backend:
        for count in (2, 2, 2, 3, 3, 3):
            np.testing.assert_array_equal(backend.infer(rows(count))["y"], 2 * rows(count)["x"])
    (message,) = caplog.messages
    assert "g.plan runs without CUDA graphs" in message and f"{fails} failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" in message
    assert cuda.calls["cuStreamBeginCapture_v2"] == 1 and cuda.calls["cuGraphLaunch"] == 0


def test_the_chosen_gpu_is_current_in_every_thread(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, _ = fake_tensorrt.install(monkeypatch, PROFILES, gpus=2)
    with TrtBackend(plan, gpu=1) as backend:
        assert cuda.current == 1
        cuda.current = -1  # as in a thread that has used no GPU, or another one
        backend.infer(rows(2))
        assert cuda.current == 1
    with pytest.raises(BackendError, match=r"cuDeviceGet failed: CUDA error 101; see wsra doctor"):
        TrtBackend(plan, gpu=2)


def test_the_first_profile_that_fits_is_taken(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    with TrtBackend(plan) as backend:
        for count in (2, 8, 9, 64, 9, 1):
            np.testing.assert_array_equal(backend.infer(rows(count))["y"], 2 * rows(count)["x"])
        assert engine.context is not None and engine.context.changes == [0, 1, 0]
        with pytest.raises(BackendError, match=r"x \(65, 4\).*\(1, 4\) to \(8, 4\) or x \(8, 4\) to \(64, 4\)"):
            backend.infer(rows(65))
        with pytest.raises(BackendError, match=r"expected float32 \('dim0', 4\)"):
            backend.infer({"x": np.ones((2, 5), np.float32)})


def test_shapes_that_fit_alone_but_not_together() -> None:
    profiles = [{"a": ((1,), (4,)), "b": ((1,), (4,))}, {"a": ((5,), (8,)), "b": ((5,), (8,))}]
    assert fitting_profile({"a": (8,), "b": (5,)}, profiles, "g") == 1
    with pytest.raises(BackendError, match=r"g: fed with a \(1,\) with b \(8,\); the engine takes a \(1,\) to \(4,\) with b"):
        fitting_profile({"a": (1,), "b": (8,)}, profiles, "g")


def test_a_graph_without_dynamic_axes_has_one_profile(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, [{}], axes=(2, 4))
    with TrtBackend(plan) as backend:
        np.testing.assert_array_equal(backend.infer(rows(2))["y"], 2 * rows(2)["x"])


def test_every_code_of_cuda_is_read(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    calls = ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate", "cuMemAlloc_v2", "cuMemHostAlloc"]
    calls += ["cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize", "cuGraphLaunch", "cuEventCreate", "cuEventRecord"]
    calls += ["cuEventSynchronize", "cuEventElapsedTime", "cuEventDestroy_v2", "cuGraphExecDestroy", "cuMemFree_v2", "cuMemFreeHost"]
    calls += ["cuStreamDestroy_v2", "cuDevicePrimaryCtxRelease_v2"]
    for name in calls:
        cuda.fail = {name: 2}
        message = rf"{name} failed: CUDA_ERROR_OUT_OF_MEMORY \(out of memory, CUDA error 2\); close other programs that use the GPU"
        with pytest.raises(BackendError, match=message), TrtBackend(plan) as backend:
            backend.infer(rows(2))
            backend.infer(rows(2))
            backend.milliseconds(rows(2), 1)
    cuda.fail = {}
    with TrtBackend(plan) as backend:
        backend.infer(rows(2))
        assert engine.context is not None
        engine.context.works = False
        with pytest.raises(BackendError, match=r"g.plan: tensorrt 10.3.0 fails \(no reason given\)"):
            backend.infer(rows(3))
        engine.context.works = True  # what a call that failed has set is set again
        np.testing.assert_array_equal(backend.infer(rows(3))["y"], 2 * rows(3)["x"])


def test_the_first_error_is_told_not_the_one_of_freeing(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, _ = fake_tensorrt.install(monkeypatch, PROFILES)
    with pytest.raises(BackendError, match="cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS"), TrtBackend(plan) as backend:
        cuda.fail = {"cuStreamSynchronize": 700, "cuMemFree_v2": 700}
        backend.infer(rows(2))


def test_what_tensorrt_raises_is_one_line(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    with TrtBackend(plan) as backend:
        assert engine.context is not None
        engine.context.raises = "Error in set optimization\n profile async."
        with pytest.raises(BackendError, match=r"refuses .*\(Error in set optimization; profile async\.\); build the engine again"):
            backend.infer(rows(2))
        engine.context.raises = ""
        np.testing.assert_array_equal(backend.infer(rows(2))["y"], 2 * rows(2)["x"])
    cuda.starts_runtime = False
    with pytest.raises(BackendError, match=r"does not start \(pybind11::init\(\): factory function returned nullptr\); see wsra doctor"):
        TrtBackend(plan)
    assert cuda.calls["cuStreamCreate"] == cuda.calls["cuStreamDestroy_v2"]  # nothing is left behind


def test_the_kernels_of_tensorrt_rtx_are_kept_for_the_next_start(plan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    caches = fake_tensorrt.with_kernels(monkeypatch, engine)
    with TrtBackend(plan) as backend:
        for _ in range(3):
            np.testing.assert_array_equal(backend.infer(rows(2))["y"], 2 * rows(2)["x"])
    assert plan.with_suffix(".kernels").read_bytes() == b"compiled"
    assert cuda.calls["cuStreamBeginCapture_v2"] == 0 and caches[0].strategy == "WHOLE_GRAPH_CAPTURE"  # the library captures by itself
    with TrtBackend(plan):
        assert caches[1].content == b"compiled"
    plan.with_suffix(".kernels").write_bytes(b"of another GPU")
    with TrtBackend(plan):
        assert caches[2].content == b""
    assert plan.with_suffix(".kernels").read_bytes() == b"compiled"


def test_kernels_are_kept_elsewhere_where_the_bundle_cannot_be_written(plan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, engine = fake_tensorrt.install(monkeypatch, PROFILES)
    caches = fake_tensorrt.with_kernels(monkeypatch, engine)
    plan.with_suffix(".kernels").mkdir()  # stands for a place that cannot be written
    monkeypatch.setattr("wsra.runtime.backends.rtx.user_cache_path", lambda name: tmp_path / "cache")
    with TrtBackend(plan) as backend:
        backend.infer(rows(2))
    with TrtBackend(plan):
        assert caches[1].content == b"compiled"
    assert len(list((tmp_path / "cache/kernels").iterdir())) == 1


def test_a_plan_that_tensorrt_refuses(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, PROFILES)
    plan.write_bytes(b"bad")
    with pytest.raises(BackendError, match=r"refuses the plan \(IRuntime::deserialize: the version tag; does not match\)"):
        TrtBackend(plan)
    plan.write_bytes(b"unserved")
    with pytest.raises(BackendError, match=r"this compute capability.*this library never runs on this GPU: use --provider cuda or cpu"):
        TrtBackend(plan)
    with pytest.raises(BackendError, match="cannot be read"):
        TrtBackend(plan.with_name("nowhere.plan"))


def test_tensors_that_numpy_cannot_feed(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, engine = fake_tensorrt.install(monkeypatch, PROFILES, dtype="BF16")
    with pytest.raises(BackendError, match="x is BF16"):
        TrtBackend(plan)
    engine.location = "HOST"
    with pytest.raises(BackendError, match="x is a shape tensor"):
        TrtBackend(plan)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("FLOAT", "float32"), ("HALF", "float16"), ("INT64", "int64"), ("INT32", "int32"), ("BOOL", "bool")]
)
def test_dtypes(plan: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, expected: str) -> None:
    fake_tensorrt.install(monkeypatch, PROFILES, dtype=dtype)
    assert TrtBackend(plan).outputs["y"].dtype == expected


def test_no_driver(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, PROFILES)

    def missing() -> Any:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr("wsra.runtime.driver.open_library", missing)
    with pytest.raises(BackendError, match="no GPU starts: libcuda.so.1 does not load"):
        TrtBackend(plan)


def module(monkeypatch: pytest.MonkeyPatch, name: str, version: str) -> ModuleType:
    made = ModuleType(name)
    made.__spec__, made.__version__ = ModuleSpec(name, None), version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_which_library(monkeypatch: pytest.MonkeyPatch) -> None:
    full = module(monkeypatch, "tensorrt", "10.3.0")
    rtx = module(monkeypatch, "tensorrt_rtx", "1.7.1")
    assert find_library() is full and find_library(gpu=False) is rtx
    module(monkeypatch, "tensorrt", "8.6.1")
    assert find_library() is rtx
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendError, match=r"tensorrt is 8.6.1, engines need 10.3"):
        find_library()
    with pytest.raises(BackendError, match=r"tensorrt needs a GPU.*wsra\[rtx\]"):
        find_library(gpu=False)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match=r"extra rtx.*wsra\[trt\]"):
        find_library()


def test_a_library_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise FileNotFoundError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendError, match=r"tensorrt does not load: libnvinfer.so.10: cannot open; see wsra doctor"):
        find_library()


def test_messages_without_the_noise() -> None:
    noisy = "Invalid Node - adder\nadder: must have  same types\n[x] Error Code 1: (cudaError 35: CUDA driver)\n"
    assert cleaned(noisy) == "Invalid Node - adder; adder: must have same types"
    assert len(cleaned("x" * 1000)) == 400
