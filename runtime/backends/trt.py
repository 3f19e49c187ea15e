"""Run plans with TensorRT itself, without ONNX Runtime and torch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.cuda import Cuda, StreamTimer
from wsra.runtime.backends.libraries import LIBRARIES, Library
from wsra.runtime.backends.protocol import Arrays, TensorSpec, check_feeds
from wsra.runtime.backends.trt_log import error_log
from wsra.runtime.errors import BackendError, MissingExtraError

Shape = tuple[int, ...]
Ranges = dict[str, tuple[Shape, Shape]]  # input -> smallest and largest shape


def find_library(*, gpu: bool = True) -> Any:
    """The TensorRT to use: tensorrt if it is installed and new enough, else TensorRT-RTX.

    Args:
        gpu: whether there is a GPU; without one only TensorRT-RTX works.

    Returns:
        The module.

    Raises:
        MissingExtraError: neither is installed.
        BackendError: the installed one does not load, is too old, or needs a GPU.
    """
    reasons = []
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            continue
        if not gpu and name == "tensorrt":
            reasons.append("tensorrt needs a GPU, and none starts here; pip install 'wsra[rtx]' builds without one")
            continue
        try:
            library = importlib.import_module(name)
        except Exception as err:  # a missing libnvinfer raises ImportError, OSError, FileNotFoundError or RuntimeError
            reasons.append(f"{name} does not load: {err}; see wsra doctor")
            continue
        if Library(name, str(library.__version__), "").new_enough:
            return library
        reasons.append(f"{name} is {library.__version__}, engines need 10.3 or newer; see wsra doctor")
    if reasons:
        raise BackendError(reasons[0])
    raise MissingExtraError("tensorrt (of JetPack, or extra trt) or tensorrt_rtx (extra rtx)", "trt", "an engine")


class TrtBackend:
    """A plan in TensorRT on the first GPU. One call at a time.

    Args (constructor):
        plan: a plan that `wsra build` built on this machine.
        device_name: name of the GPU, for reports.

    Raises:
        MissingExtraError: no TensorRT is installed.
        BackendError: there is no GPU, TensorRT refuses the plan, or a tensor of it cannot be fed from NumPy.
    """

    def __init__(self, plan: Path, *, device_name: str = "") -> None:
        trt = find_library()
        self._name = plan.name
        self._device = device_name
        self._provider = f"{trt.__name__} {trt.__version__}"
        self._log = error_log(trt)
        self._cuda = Cuda()
        self._log.clear()
        runtime = trt.Runtime(self._log.logger)
        engine = runtime.deserialize_cuda_engine(_content(plan))
        if engine is None:
            raise BackendError(f"{plan}: {self._provider} refuses the plan ({self._log.reason()}); build it again with wsra build")
        context = engine.create_execution_context()
        if context is None:
            raise BackendError(f"{plan}: {self._provider} cannot start it ({self._log.reason()}); close other programs that use the GPU")
        self._context: Any = context
        self._engine: Any = engine
        self._runtime: Any = runtime
        self._inputs: dict[str, TensorSpec] = {}
        self._outputs: dict[str, TensorSpec] = {}
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise BackendError(f"{plan}: {name} is a shape tensor, which wsra does not support; export the graph without it")
            specs = self._inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else self._outputs
            specs[name] = TensorSpec(_dtype(trt, engine.get_tensor_dtype(name), name, plan), _axes(tuple(engine.get_tensor_shape(name))))
        self._profiles = [self._ranges(number) for number in range(engine.num_optimization_profiles)]
        self._active: int | None = None

    def _ranges(self, number: int) -> Ranges:
        """Smallest and largest shape of every input that has a dynamic axis."""
        ranges = {}
        for name, spec in self._inputs.items():
            if any(isinstance(axis, str) for axis in spec.shape):
                smallest, _, largest = self._engine.get_tensor_profile_shape(name, number)
                ranges[name] = (tuple(smallest), tuple(largest))
        return ranges

    @property
    def provider(self) -> str:
        """The library that runs the graph, and its version."""
        return self._provider

    @property
    def device(self) -> str:
        """Name of the GPU."""
        return self._device

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Named inputs."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Named outputs."""
        return self._outputs

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the plan; see `Backend.infer`.

        Raises:
            BackendError: the feeds fit no profile, or TensorRT or CUDA fails.
        """
        arrays = self._feed(feeds)
        outputs = self._bind_outputs()
        self._execute()
        for name, array in outputs.items():
            self._cuda.download(array, self._cuda.buffer(name, array.nbytes))
        self._cuda.wait()
        del arrays  # uploads read them until here
        return outputs

    def milliseconds(self, feeds: Mapping[str, NDArray[Any]], repeats: int) -> list[float]:
        """Milliseconds of each of several runs, measured by the GPU, without the copies."""
        arrays = self._feed(feeds)
        self._bind_outputs()
        self._cuda.wait()
        del arrays
        watch, times = StreamTimer(self._cuda), []
        for _ in range(repeats):
            watch.start()
            self._execute()
            times.append(watch.stop())
        watch.close()
        return times

    def _feed(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Choose a profile, set the shapes and start the uploads; they read the returned arrays, which must be kept until they end."""
        check_feeds(feeds, self._inputs, self._name)
        self._log.clear()
        self._activate(fitting_profile({name: array.shape for name, array in feeds.items()}, self._profiles, self._name))
        arrays = []
        for name, given in feeds.items():
            array = np.ascontiguousarray(given)
            if not self._context.set_input_shape(name, array.shape):
                raise self._refused(f"refuses {name} of shape {array.shape}")
            address = self._cuda.buffer(name, array.nbytes)
            self._cuda.upload(address, array)
            self._context.set_tensor_address(name, address)
            arrays.append(array)
        return arrays

    def _activate(self, number: int) -> None:
        if number == self._active:
            return
        if not self._context.set_optimization_profile_async(number, int(self._cuda.stream)):
            raise self._refused(f"cannot change to profile {number}")
        self._active = number

    def _bind_outputs(self) -> Arrays:
        """Allocate every output on the device.

        Returns:
            Arrays for downloading the outputs.
        """
        outputs = {}
        for name, spec in self._outputs.items():
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise self._refused(f"cannot determine the shape of {name} before it runs")
            outputs[name] = np.empty(shape, spec.dtype)
            self._context.set_tensor_address(name, self._cuda.buffer(name, outputs[name].nbytes))
        return outputs

    def _execute(self) -> None:
        if not self._context.execute_async_v3(int(self._cuda.stream)):
            raise self._refused("fails")

    def _refused(self, what: str) -> BackendError:
        return BackendError(f"{self._name}: {self._provider} {what} ({self._log.reason()}); build the engine again with wsra build")

    def __enter__(self) -> TrtBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._context = self._engine = self._runtime = None  # freed before the memory that they use
        with suppress(BackendError) if error else nullcontext():  # after a CUDA error, every later call fails, too
            self._cuda.close()


def fitting_profile(shapes: Mapping[str, Shape], profiles: Sequence[Ranges], graph: str) -> int:
    """Index of the first profile that accepts these shapes.

    Args:
        shapes: shapes of the inputs of one call.
        profiles: profiles of the engine, without inputs that have no dynamic axis.
        graph: name of the graph, for messages.

    Raises:
        BackendError: no profile accepts them; the message names a tensor, its shape and the allowed shapes.
    """
    for number, ranges in enumerate(profiles):
        if all(_inside(shapes[name], *limits) for name, limits in ranges.items()):
            return number
    names = list(profiles[0])
    never_allowed = [name for name in names if not any(_inside(shapes[name], *ranges[name]) for ranges in profiles)]
    named = never_allowed[:1] or names  # each shape may be allowed alone, but not together with the others
    wrong = " with ".join(f"{name} {shapes[name]}" for name in named)
    allowed = " or ".join(" with ".join(f"{name} {ranges[name][0]} to {ranges[name][1]}" for name in named) for ranges in profiles)
    raise BackendError(f"{graph}: fed with {wrong}; the engine takes {allowed}: feed other shapes, or build it for them")


def _inside(shape: Shape, smallest: Shape, largest: Shape) -> bool:
    return all(low <= size <= high for size, low, high in zip(shape, smallest, largest, strict=True))


def _content(plan: Path) -> bytes:
    try:
        return plan.read_bytes()
    except OSError as err:
        raise BackendError(f"{plan}: cannot be read ({err.strerror}); build it with wsra build") from err


def _dtype(trt: Any, dtype: Any, name: str, plan: Path) -> str:
    try:
        return str(np.dtype(trt.nptype(dtype)))
    except TypeError as err:  # bfloat16, fp8 and int4 have none
        raise BackendError(f"{plan}: {name} is {dtype}, which NumPy does not have; export the graph with other inputs and outputs") from err


def _axes(shape: tuple[int, ...]) -> tuple[int | str, ...]:
    return tuple(f"dim{axis}" if size < 0 else size for axis, size in enumerate(shape))
