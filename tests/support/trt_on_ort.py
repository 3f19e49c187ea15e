"""TensorRT with ONNX Runtime behind its signatures: plans hold the ONNX graph itself, and the device is the host memory of `fake_tensorrt`.

Names and signatures of the classes are those of TensorRT (tests/runtime/backends/test_open_graph.py compares them with RTX), so that
videos run through `wsra.runtime.backends.trt.TrtBackend` without a GPU. What a GPU computes differently, this cannot show.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_tensorrt
from wsra.runtime.backends import open_graph
from wsra.runtime.backends.engines import BuiltGraph, Profile, engine_of, write_sidecar
from wsra.runtime.device import Device, Gpu
from wsra.runtime.files.writing import sha256_of

VERSION = "10.3.0"
DEVICE = Device("cpu", 8, 8192, 8192, Gpu("Orin", "8.7", 8192, "540.4.0", "12.6", 8), "36.4.3", "Jetson Orin NX")
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8, "tensor(int64)": np.int64}


class OrtEngine:
    """`ICudaEngine` of one graph."""

    def __init__(self, cuda: Any, content: bytes) -> None:
        import onnxruntime

        head, self.graph = content.split(b"\n", 1)
        self.cuda, self.profiles = cuda, json.loads(head)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])
        self.tensors = {node.name: node for node in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.shapes: list[tuple[int, ...]] = []  # of the input, of every run

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name in [node.name for node in self.session.get_inputs()] else "OUTPUT"

    def get_tensor_location(self, name: str) -> str:
        return "DEVICE"

    def get_tensor_dtype(self, name: str) -> Any:
        return _DTYPES[self.tensors[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.tensors[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self.profiles[profile_index][name]]

    def create_execution_context(self) -> OrtContext:
        return OrtContext(self)


class OrtContext:
    """`IExecutionContext`: refuses what lies outside the profile, and reads and writes device memory only."""

    def __init__(self, engine: OrtEngine) -> None:
        self.engine, self.profile = engine, -1
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.address: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self.profile, self.shapes = profile_index, {}
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self.engine.get_tensor_profile_shape(name, self.profile)
        if not all(low <= n <= high for low, n, high in zip(smallest, shape, largest, strict=True)):
            return False
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if self.engine.get_tensor_mode(name) == "INPUT":
            return self.shapes.get(name, self.engine.get_tensor_shape(name))
        lengths = {
            axis: length
            for given, shape in self.shapes.items()
            for axis, length in zip(self.engine.tensors[given].shape, shape, strict=True)
            if isinstance(axis, str)
        }
        return tuple(axis if isinstance(axis, int) else lengths.get(axis, -1) for axis in self.engine.tensors[name].shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.address[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine, address = self.engine, dict(self.address)
        shapes = {name: self.get_tensor_shape(name) for name in engine.tensors}

        def run() -> None:
            feeds = {}
            for node in engine.session.get_inputs():
                block = engine.cuda.memory[address[node.name]]
                count = int(np.prod(shapes[node.name]))
                feeds[node.name] = np.frombuffer(block, _DTYPES[node.type], count).reshape(shapes[node.name])
                engine.shapes.append(shapes[node.name])
            for node, array in zip(engine.session.get_outputs(), engine.session.run(None, feeds), strict=True):
                assert array.shape == shapes[node.name] and array.nbytes <= len(engine.cuda.memory[address[node.name]])
                ctypes.memmove(address[node.name], np.ascontiguousarray(array).tobytes(), array.nbytes)

        engine.cuda.put(run)
        return True


def install(monkeypatch: pytest.MonkeyPatch) -> list[OrtEngine]:
    """Put TensorRT, CUDA and a GPU in place.

    Returns:
        The engines that are opened from now on.
    """
    cuda, _ = fake_tensorrt.install(monkeypatch, [], version=VERSION)
    trt: Any = sys.modules["tensorrt"]
    opened: list[OrtEngine] = []

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> OrtEngine:
            opened.append(OrtEngine(cuda, serialized_engine))
            return opened[-1]

    monkeypatch.setattr(trt, "Runtime", Runtime)
    monkeypatch.setattr(trt, "nptype", lambda trt_type: trt_type)
    monkeypatch.setattr(open_graph, "this_device", lambda **_: DEVICE)
    return opened


def build(graph: Path, profiles: list[Profile], *, plan: Path | None = None, sidecar: Path | None = None, device: Device = DEVICE) -> Path:
    """Write a plan of a graph, beside it or elsewhere, with its sidecar."""
    plan = plan or graph.with_suffix(".plan")
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_bytes(json.dumps(profiles).encode() + b"\n" + graph.read_bytes())
    built = BuiltGraph(sha256_of(graph), sha256_of(plan), plan.stat().st_size, profiles)
    engine = engine_of(device, "tensorrt", VERSION, "", {graph.stem: built})
    write_sidecar(sidecar or graph.with_suffix(".engine.json"), engine)
    return plan
