"""TensorRT and the CUDA driver, made up: an engine y = 2 x over host memory, so that the backend's own logic runs without a GPU.

The driver's functions are real C function pointers with the argument types of `wsra.runtime.driver`; tests/runtime/test_driver.py compares
those types with C.
"""

from __future__ import annotations

import ctypes
import sys
from collections import Counter
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wsra.runtime import driver

Profiles = list[dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]]
NAMES = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 700: b"CUDA_ERROR_ILLEGAL_ADDRESS", 901: b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}


class FakeCuda:
    """The CUDA driver: device memory is host memory, work on a stream runs at once; what `fail` names returns an error.

    Attributes:
        fail: function -> error code.
        calls: how often each function was called.
        memory: blocks of the device, by address.
        pinned: page-locked blocks of the host, by address.
        gpus: how many there are.
        current: number of the GPU that is current.
        starts_runtime: False makes TensorRT's Runtime fail as it does where it cannot be made.
        recording: work of the capture that goes on, else None.
    """

    def __init__(self, gpus: int = 1) -> None:
        self.fail: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self.memory: dict[int, Any] = {}
        self.pinned: dict[int, Any] = {}
        self.gpus, self.current = gpus, -1
        self.starts_runtime = True
        self.recording: list[Callable[[], None]] | None = None
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        self._texts: list[Any] = []  # what returned pointers point to
        self._pointers: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        if name not in self._pointers:

            def call(*arguments: Any) -> int:
                self.calls[name] += 1
                if name in self.fail and name not in ("cuGetErrorName", "cuGetErrorString"):
                    if name == "cuStreamEndCapture":
                        self.recording = None
                    return self.fail[name]
                return self._do(name, arguments) or 0

            self._pointers[name] = ctypes.CFUNCTYPE(ctypes.c_int, *driver.SIGNATURES[name])(call)
        return self._pointers[name]

    def put(self, work: Callable[[], None]) -> None:
        """Put work on the stream: it runs now, or is recorded."""
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()

    def _do(self, name: str, arguments: tuple[Any, ...]) -> int | None:
        result = arguments[0] if arguments else None
        if name == "cuDeviceGetCount":
            result[0] = self.gpus
        elif name == "cuDeviceGet":
            if arguments[1] >= self.gpus:
                return 101
            result[0] = arguments[1]
        elif name == "cuDriverGetVersion":
            result[0] = 12060
        elif name == "cuDeviceTotalMem_v2":
            result[0] = 8 << 30
        elif name == "cuDeviceGetAttribute":
            result[0] = {75: 8, 76: 7, 16: 8}[arguments[1]]
        elif name == "cuDevicePrimaryCtxRetain":
            result[0] = 100 + arguments[1]
        elif name == "cuCtxSetCurrent":
            self.current = arguments[0] - 100
        elif name in ("cuStreamCreate", "cuEventCreate"):
            result[0] = 7
        elif name in ("cuMemAlloc_v2", "cuMemHostAlloc"):
            block = ctypes.create_string_buffer(arguments[1])
            result[0] = ctypes.addressof(block)
            (self.memory if name == "cuMemAlloc_v2" else self.pinned)[ctypes.addressof(block)] = block
        elif name in ("cuMemFree_v2", "cuMemFreeHost"):
            del (self.memory if name == "cuMemFree_v2" else self.pinned)[arguments[0]]
        elif name in ("cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"):
            target, source, size, _ = arguments
            on_device, on_host = (target, source) if name == "cuMemcpyHtoDAsync_v2" else (source, target)
            assert size <= len(self.memory[on_device]) and size <= len(self.pinned[on_host])
            self.put(lambda: ctypes.memmove(target, source, size) and None)
        elif name == "cuEventElapsedTime":
            result[0] = 0.25
        elif name == "cuStreamBeginCapture_v2":
            self.recording = []
        elif name == "cuStreamEndCapture":
            assert self.recording is not None
            arguments[1][0] = 1000 + len(self._graphs)
            self._graphs[1000 + len(self._graphs)], self.recording = self.recording, None
        elif name == "cuGraphInstantiateWithFlags":
            result[0] = arguments[1]
        elif name == "cuGraphLaunch":
            for work in self._graphs[arguments[0]]:
                work()
        elif name in ("cuGetErrorName", "cuGetErrorString"):
            if arguments[0] not in NAMES:
                return 1
            text = NAMES[arguments[0]] if name == "cuGetErrorName" else b"out of memory"
            self._texts.append(ctypes.create_string_buffer(text))
            arguments[1][0] = ctypes.addressof(self._texts[-1])
        return None


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

    def create_execution_context(self, runtime_config: Any = None) -> FakeContext:
        self.context = FakeContext(self)
        return self.context


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.changes: list[int] = []
        self.shape: tuple[int, ...] = engine.axes
        self.address: dict[str, int] = {}
        self.works = True
        self.calls: Counter[str] = Counter()
        self.raises = ""

    def set_optimization_profile_async(self, number: int, stream: int) -> bool:
        if self.raises:
            raise RuntimeError(self.raises)  # as pyCore.cpp does; it never returns False
        self.changes.append(number)
        self.shape = self.engine.axes  # shapes are forgotten, as in TensorRT
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self.engine.profiles[self.changes[-1]].get(name, (shape, shape, shape))
        assert all(low <= n <= high for low, n, high in zip(smallest, shape, largest, strict=True))
        self.calls["set_input_shape"] += 1
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls["set_tensor_address"] += 1
        self.address[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.calls["execute_async_v3"] += 1
        size, addresses = 4 * int(np.prod(self.shape)), dict(self.address)

        def double() -> None:
            x = np.frombuffer(self.engine.cuda.memory[addresses["x"]], np.float32, size // 4)
            ctypes.memmove(addresses["y"], (2 * x).tobytes(), size)

        if self.works:
            self.engine.cuda.put(double)
        return self.works


class FakeLogger:
    Severity = SimpleNamespace(ERROR=1, WARNING=2)

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


def install(
    monkeypatch: pytest.MonkeyPatch,
    profiles: Profiles,
    *,
    version: str = "10.3.0",
    dtype: str = "FLOAT",
    axes: tuple[int, ...] = (-1, 4),
    gpus: int = 1,
) -> tuple[FakeCuda, FakeEngine]:
    """Put both in the place of the real ones; a plan that holds b"bad" is refused."""
    cuda = FakeCuda(gpus)
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
            if not cuda.starts_runtime:
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self.logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> FakeEngine | None:
            if content == b"bad":
                self.logger.log(1, "IRuntime::deserialize: the version tag\ndoes not match")
                self.logger.log(3, "chatter")
                return None
            if content == b"unserved":  # as TensorRT-RTX 1.7 wrote on an H200
                self.logger.log(
                    1, "API Usage Error (TensorRT-RTX does not support this compute capability, so the engine cannot be rebuilt)"
                )
                return None
            return engine

    trt.nptype, trt.Runtime = nptype, Runtime
    monkeypatch.setattr(driver, "open_library", lambda: cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    return cuda, engine


class FakeKernels:
    """IRuntimeConfig and IRuntimeCache of TensorRT-RTX: it takes only what it wrote itself."""

    def __init__(self) -> None:
        self.strategy, self.content = "DISABLED", b""

    @property
    def cuda_graph_strategy(self) -> str:
        return self.strategy

    @cuda_graph_strategy.setter
    def cuda_graph_strategy(self, strategy: str) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> FakeKernels:
        return self

    def set_runtime_cache(self, cache: FakeKernels) -> bool:
        return True

    def deserialize(self, content: bytes) -> bool:
        if content != b"compiled":
            return False
        self.content = content
        return True

    def serialize(self) -> bytes:
        return b"compiled"


def with_kernels(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> list[FakeKernels]:
    """Give the installed library what only TensorRT-RTX has; the returned list fills as engines are opened."""
    made: list[FakeKernels] = []

    def create_runtime_config() -> FakeKernels:
        made.append(FakeKernels())
        return made[-1]

    trt = sys.modules["tensorrt"]
    monkeypatch.setattr(trt, "IRuntimeCache", FakeKernels, raising=False)
    monkeypatch.setattr(trt, "CudaGraphStrategy", SimpleNamespace(WHOLE_GRAPH_CAPTURE="WHOLE_GRAPH_CAPTURE"), raising=False)
    monkeypatch.setattr(engine, "create_runtime_config", create_runtime_config, raising=False)
    return made
