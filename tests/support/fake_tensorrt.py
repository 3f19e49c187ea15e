"""TensorRT and the CUDA runtime, made up: an engine y = 2 x over host memory, so that the backend's own logic runs without a GPU."""

from __future__ import annotations

import ctypes
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

Profiles = list[dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]]


class FakeCuda:
    """`cuda.bindings.runtime`: device memory is host memory; what `fail` names returns an error."""

    def __init__(self) -> None:
        self.fail: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self.memory: dict[int, Any] = {}
        self.handles: set[str] = set()
        self.cudaError_t = SimpleNamespace(cudaSuccess=0)
        self.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls[name] += 1
            if name in self.fail:
                return (self.fail[name], None)
            return (0, *self._do(name, arguments))

        return call

    def _do(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if name == "cudaGetErrorString":
            return (b"out of memory",)
        if name == "cudaMalloc":
            block = ctypes.create_string_buffer(arguments[0])
            self.memory[ctypes.addressof(block)] = block
            return (ctypes.addressof(block),)
        if name == "cudaFree":
            del self.memory[arguments[0]]
        elif name == "cudaMemcpyAsync":
            target, source, size, kind, _ = arguments
            device = self.memory[target if kind == 1 else source]
            assert size <= len(device)
            ctypes.memmove(target, source, size)
        elif name == "cudaEventElapsedTime":
            return (0.25,)
        elif name in ("cudaStreamCreate", "cudaEventCreate"):
            return (7,)
        return ()


class FakeEngine:
    """x (float32) -> y (float32) of the same shape."""

    def __init__(self, cuda: FakeCuda, profiles: Profiles, dtype: str, axes: tuple[int, ...]) -> None:
        self.cuda, self.profiles, self.dtype, self.axes = cuda, profiles, dtype, axes
        self.num_io_tensors, self.num_optimization_profiles = 2, len(profiles)
        self.location = "DEVICE"
        self.context: FakeContext | None = None

    def get_tensor_name(self, number: int) -> str:
        return ("x", "y")[number]

    def get_tensor_mode(self, name: str) -> str:
        return {"x": "INPUT", "y": "OUTPUT"}[name]

    def get_tensor_location(self, name: str) -> str:
        return self.location

    def get_tensor_dtype(self, name: str) -> str:
        return self.dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.axes

    def get_tensor_profile_shape(self, name: str, number: int) -> list[tuple[int, ...]]:
        return list(self.profiles[number][name])

    def create_execution_context(self) -> FakeContext:
        self.context = FakeContext(self)
        return self.context


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.changes: list[int] = []
        self.shape: tuple[int, ...] = engine.axes
        self.address: dict[str, int] = {}
        self.works = True

    def set_optimization_profile_async(self, number: int, stream: int) -> bool:
        self.changes.append(number)
        self.shape = self.engine.axes  # shapes are forgotten, as in TensorRT
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self.engine.profiles[self.changes[-1]].get(name, (shape, shape, shape))
        assert all(low <= n <= high for low, n, high in zip(smallest, shape, largest, strict=True))
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.address[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        size = 4 * int(np.prod(self.shape))
        x = np.frombuffer(self.engine.cuda.memory[self.address["x"]], np.float32, size // 4)
        ctypes.memmove(self.address["y"], (2 * x).tobytes(), size)
        return self.works


class FakeLogger:
    Severity = SimpleNamespace(ERROR=1)

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


def install(
    monkeypatch: pytest.MonkeyPatch,
    profiles: Profiles,
    *,
    version: str = "10.3.0",
    dtype: str = "FLOAT",
    axes: tuple[int, ...] = (-1, 4),
) -> tuple[FakeCuda, FakeEngine]:
    """Put both libraries in the place of the real ones; a plan that holds b"bad" is refused."""
    cuda = FakeCuda()
    engine = FakeEngine(cuda, profiles, dtype, axes)
    trt: Any = ModuleType("tensorrt")
    trt.__spec__, trt.__version__, trt.ILogger = ModuleSpec("tensorrt", None), version, FakeLogger
    trt.TensorLocation = SimpleNamespace(DEVICE="DEVICE")
    trt.TensorIOMode = SimpleNamespace(INPUT="INPUT")

    def nptype(name: str) -> type:
        table = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT32": np.int32, "BOOL": np.bool_}
        if name not in table:
            raise TypeError(name)
        return table[name]

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> FakeEngine | None:
            if content == b"bad":
                self.logger.log(1, "IRuntime::deserialize: the version tag\ndoes not match")
                self.logger.log(3, "chatter")
                return None
            return engine

    trt.nptype, trt.Runtime = nptype, Runtime
    package, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    bindings.runtime = cuda  # type: ignore[attr-defined]
    for name, module in (("tensorrt", trt), ("cuda", package), ("cuda.bindings", bindings)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    return cuda, engine
