"""A stream on a GPU with its memory: buffers on the device and page-locked ones on the host, copies, events and CUDA graphs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.driver import Driver
from wsra.runtime.errors import BackendError

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: calls of other threads do not spoil a capture


class Cuda:
    """A stream in the primary context of a GPU, which the CUDA runtime within TensorRT uses, too; and memory by name.

    Args (constructor):
        device: number of the GPU, from 0, among those that CUDA_VISIBLE_DEVICES leaves visible.

    Raises:
        BackendError: there is no driver, or that GPU does not start.
    """

    def __init__(self, device: int = 0) -> None:
        self._driver = Driver()
        self._gpu = self._driver.number("cuDeviceGet", device)
        self._context: int | None = self._driver.handle("cuDevicePrimaryCtxRetain", self._gpu)
        self._device_memory: dict[str, tuple[int, int]] = {}  # name -> address, bytes
        self._host_memory: dict[str, tuple[int, int]] = {}
        self.stream: int | None = None
        try:
            self.make_current()
            self.stream = self._driver.handle("cuStreamCreate", 0)
        except BackendError:
            with suppress(BackendError):
                self._driver.call("cuDevicePrimaryCtxRelease_v2", self._gpu)
            raise

    def make_current(self) -> None:
        """Make this GPU the one of the calling thread. Every use from another thread than before begins with it."""
        self._driver.call("cuCtxSetCurrent", self._context)

    def buffer(self, name: str, size: int) -> int:
        """Address of the named device memory of at least `size` bytes; it is allocated anew only if it is too small."""
        return self._memory(self._device_memory, name, size, ("cuMemAlloc_v2",), "cuMemFree_v2")

    def pinned(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """The named page-locked host memory as an array; it is allocated anew only if it is too small.

        Copies between it and the device need no intermediate buffer, and are asynchronous.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self._memory(self._host_memory, name, size, ("cuMemHostAlloc", 0), "cuMemFreeHost")
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).view(dtype).reshape(shape)

    def _memory(self, kept: dict[str, tuple[int, int]], name: str, size: int, allocate: tuple[Any, ...], free: str) -> int:
        size = max(size, 1)  # CUDA allocates no 0 bytes
        address, allocated = kept.get(name, (0, 0))
        if allocated >= size:
            return address
        if allocated:
            del kept[name]
            self._driver.call(free, address)
        function, *flags = allocate
        kept[name] = self._driver.handle(function, size, *flags), size
        return kept[name][0]

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a page-locked array to the device, asynchronously on the stream. It must stay as it is until `wait` returns."""
        self._driver.call("cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array.nbytes, self.stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Copy device memory to a page-locked array, asynchronously on the stream. The array is filled once `wait` returns."""
        self._driver.call("cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array.nbytes, self.stream)

    def wait(self) -> None:
        """Wait until all work on the stream is done."""
        self._driver.call("cuStreamSynchronize", self.stream)

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """Record what a function puts on the stream, without running it.

        Raises:
            BackendError: it puts something there that cannot be recorded. The stream works as before.
        """
        self._driver.call("cuStreamBeginCapture_v2", self.stream, _THREAD_LOCAL)
        try:
            enqueue()
        except BackendError:
            with suppress(BackendError):  # what could not be recorded spoils the capture, so that ending it is an error, too
                self._driver.call("cuGraphDestroy", self._end_capture())
            raise
        return CudaGraph(self._driver, self._end_capture(), self.stream)

    def _end_capture(self) -> int:
        graph = ctypes.c_void_p()
        self._driver.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        return graph.value or 0

    def timer(self) -> StreamTimer:
        """A clock of the GPU on this stream."""
        return StreamTimer(self._driver, self.stream)

    def close(self) -> None:
        """Free the memory and the stream, and give the context back."""
        if self._context is None:
            return
        self.make_current()
        for kept, free in ((self._device_memory, "cuMemFree_v2"), (self._host_memory, "cuMemFreeHost")):
            for address, _ in kept.values():
                self._driver.call(free, address)
            kept.clear()
        if self.stream is not None:
            self._driver.call("cuStreamDestroy_v2", self.stream)
            self.stream = None
        self._driver.call("cuDevicePrimaryCtxRelease_v2", self._gpu)
        self._context = None


class CudaGraph:
    """Work of a stream that one call launches. It holds the addresses that it was recorded with."""

    def __init__(self, driver: Driver, graph: int, stream: int | None) -> None:
        self._driver, self._stream = driver, stream
        try:
            self._executable: int | None = driver.handle("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            driver.call("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Put the recorded work on the stream."""
        self._driver.call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Free the graph."""
        if self._executable is not None:
            self._driver.call("cuGraphExecDestroy", self._executable)
            self._executable = None


class StreamTimer:
    """Time between two points of a stream, measured by the GPU."""

    def __init__(self, driver: Driver, stream: int | None) -> None:
        self._driver, self._stream = driver, stream
        self._start, self._end = (driver.handle("cuEventCreate", 0) for _ in range(2))

    def start(self) -> None:
        """Mark the first point."""
        self._driver.call("cuEventRecord", self._start, self._stream)

    def stop(self) -> float:
        """Mark the second point, wait for it and return the milliseconds between them."""
        self._driver.call("cuEventRecord", self._end, self._stream)
        self._driver.call("cuEventSynchronize", self._end)
        elapsed_ms = ctypes.c_float()
        self._driver.call("cuEventElapsedTime", ctypes.byref(elapsed_ms), self._start, self._end)
        return elapsed_ms.value

    def close(self) -> None:
        """Free the events."""
        for event in (self._start, self._end):
            self._driver.call("cuEventDestroy_v2", event)
