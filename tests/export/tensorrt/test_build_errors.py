"""Whatever the library raises while a graph is compiled becomes one line. The library is made up, so that each step can fail."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import fake_tensorrt
from graphs import product
from wsra.export.tensorrt import compile_process, engine
from wsra.export.tensorrt.compile_process import Job
from wsra.runtime.backends.engines import Profile
from wsra.runtime.errors import ExportError

PROFILE: Profile = {"x": ((1, 4), (2, 4), (8, 4))}
STEPS = {
    "create_network": "does not start",
    "create_builder_config": "does not start",
    "OnnxParser": "cannot read it",
    "get_input": "cannot read it",
    "set_memory_pool_limit": "refuses the settings of the build",
    "set_compute_capability": "refuses the settings of the build",
    "set_shape": "refuses the settings of the build",
    "build_serialized_network": "cannot build it",
}


class Anything:
    """A part of the library, of which one function fails as `error` says."""

    def __init__(self, failing: str, error: Exception | None) -> None:
        self._failing, self._error = failing, error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            if name == self._failing:
                if self._error is None:
                    return None
                raise self._error
            if name == "get_input":
                return SimpleNamespace(name="x", shape=(-1, 4))
            return b"plan" if name == "build_serialized_network" else Anything(self._failing, self._error)

        return call

    @property
    def num_inputs(self) -> int:
        return 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Exception | None], None]:
    def install(failing: str, error: Exception | None) -> None:
        trt: Any = ModuleType("tensorrt_rtx")
        part = Anything(failing, error)
        trt.__version__, trt.ILogger = "1.7", fake_tensorrt.FakeLogger
        trt.Builder, trt.OnnxParser = lambda logger: part, part.OnnxParser
        trt.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        trt.MemoryPoolType, trt.BuilderFlag = SimpleNamespace(WORKSPACE=0), SimpleNamespace(TF32=0)
        trt.ProfilingVerbosity = SimpleNamespace(DETAILED=2)
        trt.ComputeCapability = SimpleNamespace(SM80=1, SM86=2, SM89=3, SM120=4)
        monkeypatch.setattr(engine, "find_gpu", lambda: None)
        monkeypatch.setattr(engine, "find_library", lambda **_: trt)

    return install


@pytest.mark.parametrize(("function", "step"), STEPS.items(), ids=list(STEPS))
def test_a_step_that_raises_is_named_in_one_line(
    tmp_path: Path, library: Callable[[str, Exception | None], None], function: str, step: str
) -> None:
    library(function, RuntimeError("it\nfails"))
    source = product(tmp_path / "a.onnx")
    with pytest.raises(ExportError) as error:
        engine.compile_graph(source, tmp_path / "a.plan", [PROFILE], workspace_mb=64, timing_cache=None)
    assert str(error.value).startswith(f"{source}: tensorrt_rtx 1.7 {step} (it; fails); ")
    assert not (tmp_path / "a.plan").exists()


def test_what_is_asked_of_nothing_is_one_line(tmp_path: Path, library: Callable[[str, Exception | None], None]) -> None:
    """The library returns None for settings that it cannot make."""
    library("create_builder_config", None)
    with pytest.raises(ExportError, match="refuses the settings of the build"):
        engine.compile_graph(product(tmp_path / "a.onnx"), tmp_path / "a.plan", [PROFILE], workspace_mb=64, timing_cache=None)


def test_all_steps_together_write_the_plan(tmp_path: Path, library: Callable[[str, Exception | None], None]) -> None:
    library("", None)
    engine.compile_graph(product(tmp_path / "a.onnx"), tmp_path / "a.plan", [PROFILE], workspace_mb=64, timing_cache=None)
    assert (tmp_path / "a.plan").read_bytes() == b"plan"


def test_the_process_that_compiles_sends_the_line(
    tmp_path: Path, library: Callable[[str, Exception | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "wsra.export.tensorrt.compile_process.os.dup2", lambda *_: None
    )  # it runs in this process here, which keeps its stdout
    library("set_compute_capability", RuntimeError("no such capability"))
    receiving, sending = Pipe(duplex=False)
    compile_process._compile(Job(product(tmp_path / "a.onnx"), tmp_path / "a.plan", [PROFILE], 64, None), sending)
    kind, message = receiving.recv()
    assert kind == "failed" and "refuses the settings of the build (no such capability)" in message
