"""Run plans with TensorRT itself, without ONNX Runtime and torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.cuda import Cuda, CudaGraph
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.protocol import Arrays, TensorSpec, check_feeds
from wsra.runtime.backends.rtx import KernelCache
from wsra.runtime.backends.trt_log import error_log, library_errors
from wsra.runtime.backends.trt_profiles import Ranges, Shape, fitting_profile
from wsra.runtime.errors import BackendError

logger = logging.getLogger(__name__)

_AGAIN = "build the engine again with wsra build"


def _remedy(reason: str) -> str:
    """What to do about a plan that the library refuses."""
    if "not support this compute capability" in reason:  # TensorRT-RTX on a data-centre GPU
        return "this library never runs on this GPU: use --provider cuda or cpu, or TensorRT (pip install 'wsra[trt]')"
    return "build it again with wsra build"


class TrtBackend:
    """A plan in TensorRT on a GPU. One call at a time, from any thread.

    Inputs and outputs travel through page-locked memory. Shapes and addresses are set only when they change, and calls that repeat the
    shapes of the one before are recorded as a CUDA graph, by TensorRT-RTX itself or, for TensorRT, here.

    Args (constructor):
        plan: a plan that `wsra build` built on this machine.
        device_name: name of the GPU, for reports.
        gpu: number of the GPU, from 0.

    Raises:
        MissingExtraError: no TensorRT is installed.
        BackendError: there is no such GPU, TensorRT refuses the plan, or a tensor of it cannot be fed from NumPy.
    """

    def __init__(self, plan: Path, *, device_name: str = "", gpu: int = 0) -> None:
        trt = find_library()
        self._name = plan.name
        self._device = device_name
        self._provider = f"{trt.__name__} {trt.__version__}"
        self._log = error_log(trt)
        content = _content(plan)
        self._inputs: dict[str, TensorSpec] = {}
        self._outputs: dict[str, TensorSpec] = {}
        self._active: int | None = None  # profile
        self._shapes: dict[str, Shape] | None = None  # of the inputs that are set, if a call with them has worked
        self._addresses: dict[str, int] = {}
        self._host: Arrays = {}  # page-locked
        self._graph: CudaGraph | None = None
        with ExitStack() as undo:
            self._cuda = Cuda(gpu)
            undo.callback(self._cuda.close)
            self._log.clear()
            with library_errors(self._log, BackendError, f"{plan}: {self._provider} does not start", "see wsra doctor"):
                runtime = trt.Runtime(self._log.logger)
            refusal = f"{plan}: {self._provider} refuses the plan"
            with library_errors(self._log, BackendError, refusal, "build it again with wsra build"):
                engine = runtime.deserialize_cuda_engine(content)
            if engine is None:
                raise BackendError(f"{refusal} ({self._log.reason()}); {_remedy(self._log.reason())}")
            with library_errors(self._log, BackendError, f"{plan}: {self._provider} cannot set it up", "see wsra doctor"):
                self._kernels = KernelCache(trt, engine, plan)
            refusal = f"{plan}: {self._provider} cannot start it"
            with library_errors(self._log, BackendError, refusal, "close other programs that use the GPU"):
                context = engine.create_execution_context(*self._kernels.arguments())
            if context is None:
                raise BackendError(f"{refusal} ({self._log.reason()}); close other programs that use the GPU")
            self._context: Any = context
            self._engine: Any = engine
            self._runtime: Any = runtime
            with library_errors(self._log, BackendError, f"{plan}: {self._provider} does not describe it", _AGAIN):
                self._describe(trt, plan)
                self._profiles = [self._ranges(number) for number in range(engine.num_optimization_profiles)]
            undo.pop_all()
        self._may_capture = not self._kernels.captures_graphs

    def _describe(self, trt: Any, plan: Path) -> None:
        """Read names, dtypes and shapes of the inputs and outputs."""
        engine = self._engine
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise BackendError(f"{plan}: {name} is a shape tensor, which wsra does not support; export the graph without it")
            specs = self._inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else self._outputs
            specs[name] = TensorSpec(_dtype(trt, engine.get_tensor_dtype(name), name, plan), _axes(tuple(engine.get_tensor_shape(name))))

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
        repeated = self._prepare(feeds)
        for name, array in feeds.items():
            np.copyto(self._host[name], array)
        if self._graph is None and repeated and self._may_capture:
            self._capture()
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()
        self._cuda.wait()
        self._shapes = {name: array.shape for name, array in feeds.items()}
        return {name: self._host[name].copy() for name in self._outputs}

    def milliseconds(self, feeds: Mapping[str, NDArray[Any]], repeats: int) -> list[float]:
        """Milliseconds of each of several runs, measured by the GPU, without the copies."""
        self._prepare(feeds)
        for name, array in feeds.items():
            np.copyto(self._host[name], array)
            self._cuda.upload(self._addresses[name], self._host[name])
        self._cuda.wait()
        watch, times = self._cuda.timer(), []
        for _ in range(repeats):
            watch.start()
            self._execute()
            times.append(watch.stop())
        watch.close()
        return times

    def _prepare(self, feeds: Mapping[str, NDArray[Any]]) -> bool:
        """Set profile, shapes and addresses, unless the last call that worked had the same shapes.

        Returns:
            Whether it had.
        """
        check_feeds(feeds, self._inputs, self._name)
        self._cuda.make_current()
        self._log.clear()
        shapes = {name: array.shape for name, array in feeds.items()}
        if shapes == self._shapes:
            return True
        profile = fitting_profile(shapes, self._profiles, self._name)
        self._shapes = None  # until a call has worked
        if self._graph is not None:  # a context must not change under a graph
            self._graph.close()
            self._graph = None
        with library_errors(self._log, BackendError, f"{self._name}: {self._provider} refuses {shapes}", _AGAIN):
            self._set_inputs(profile, shapes)
            self._bind()
        return False

    def _set_inputs(self, profile: int, shapes: Mapping[str, Shape]) -> None:
        if profile != self._active:
            self._active = None
            if not self._context.set_optimization_profile_async(profile, self._cuda.stream):
                raise self._refused(f"cannot change to profile {profile}")
            self._active = profile
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._refused(f"refuses {name} of shape {shape}")

    def _bind(self) -> None:
        """Allocate every input and output, on the device and page-locked on the host; pass on the addresses that changed."""
        for name, spec in [*self._inputs.items(), *self._outputs.items()]:
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise self._refused(f"cannot determine the shape of {name} before it runs")
            self._host[name] = self._cuda.pinned(name, shape, spec.dtype)
            address = self._cuda.buffer(name, self._host[name].nbytes)
            if address != self._addresses.get(name):
                if not self._context.set_tensor_address(name, address):
                    raise self._refused(f"refuses the memory of {name}")
                self._addresses[name] = address

    def _capture(self) -> None:
        """Record the copies and the run as a CUDA graph; where that fails, go on without."""
        try:
            self._graph = self._cuda.capture(self._enqueue)
        except BackendError as err:
            self._may_capture = False
            logger.info(f"{self._name} runs without CUDA graphs, which may take longer: {err}")
            self._log.clear()

    def _enqueue(self) -> None:
        for name in self._inputs:
            self._cuda.upload(self._addresses[name], self._host[name])
        self._execute()
        for name in self._outputs:
            self._cuda.download(self._host[name], self._addresses[name])

    def _execute(self) -> None:
        with library_errors(self._log, BackendError, f"{self._name}: {self._provider} fails", _AGAIN):
            if not self._context.execute_async_v3(self._cuda.stream):
                raise self._refused("fails")

    def _refused(self, what: str) -> BackendError:
        return BackendError(f"{self._name}: {self._provider} {what} ({self._log.reason()}); {_AGAIN}")

    def __enter__(self) -> TrtBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with suppress(BackendError) if error else nullcontext():  # after a CUDA error, every later call fails, too
                self._cuda.make_current()
                if error is None:
                    self._keep_kernels()
                if self._graph is not None:
                    self._graph.close()
                    self._graph = None
        finally:
            self._kernels.close()
            self._context = self._engine = self._runtime = None  # freed before the memory that they use
            self._host.clear()
            with suppress(BackendError) if error else nullcontext():
                self._cuda.close()

    def _keep_kernels(self) -> None:
        """Keep compiled kernels for the next start; where that fails, it is only said."""
        self._log.clear()
        try:
            subject = f"{self._name}: its compiled kernels cannot be kept"
            with library_errors(self._log, BackendError, subject, "the next start compiles them again"):
                self._kernels.save()
        except BackendError as err:
            logger.info(str(err))


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
