"""The calls of the CUDA runtime that an engine needs, each checked for errors, and device memory that grows on demand."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from wsra.runtime.device import find_gpu
from wsra.runtime.errors import BackendError


class Cuda:
    """A stream on the first GPU, and buffers of device memory by name.

    Raises (constructor):
        BackendError: cuda-python is not installed, or no GPU starts.
    """

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as err:
            raise BackendError(f"running an engine needs cuda-python, which does not load ({err}): {_install()}") from err
        self._cudart = runtime
        self._buffers: dict[str, tuple[int, int]] = {}  # name -> address, bytes
        try:
            self.call("cudaSetDevice", 0)
        except RuntimeError as err:  # cuda-python 12.6 without a driver
            raise BackendError(f"no GPU starts ({err}); see wsra doctor") from err
        self.stream = self.call("cudaStreamCreate")

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the CUDA runtime.

        Returns:
            Its result, or None if it has none.

        Raises:
            BackendError: the function returned an error code.
        """
        code, *results = getattr(self._cudart, name)(*arguments)
        if code != self._cudart.cudaError_t.cudaSuccess:
            message = self._cudart.cudaGetErrorString(code)[1].decode()
            raise BackendError(f"{name} failed: {message} (CUDA error {int(code)}); {_remedy(name)}")
        return results[0] if results else None

    def buffer(self, name: str, size: int) -> int:
        """Address of the named buffer of at least `size` bytes; it is allocated anew only if it is too small."""
        address, allocated = self._buffers.get(name, (0, 0))
        if allocated >= size:
            return address
        if allocated:
            del self._buffers[name]
            self.call("cudaFree", address)
        self._buffers[name] = int(self.call("cudaMalloc", size)), size
        return self._buffers[name][0]

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the device, asynchronously on the stream. The array must live until `wait` returns."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Copy device memory to a contiguous array, asynchronously on the stream. The array is filled once `wait` returns."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.stream)

    def wait(self) -> None:
        """Wait until all work on the stream is done."""
        self.call("cudaStreamSynchronize", self.stream)

    def close(self) -> None:
        """Free the memory and the stream."""
        for address, _ in self._buffers.values():
            self.call("cudaFree", address)
        self._buffers.clear()
        if self.stream is not None:
            self.call("cudaStreamDestroy", self.stream)
            self.stream = None


class StreamTimer:
    """Time between two points of a stream, measured by the GPU."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._start, self._end = (cuda.call("cudaEventCreate") for _ in range(2))

    def start(self) -> None:
        """Mark the first point."""
        self._cuda.call("cudaEventRecord", self._start, self._cuda.stream)

    def stop(self) -> float:
        """Mark the second point, wait for it and return the milliseconds between them."""
        self._cuda.call("cudaEventRecord", self._end, self._cuda.stream)
        self._cuda.call("cudaEventSynchronize", self._end)
        return float(self._cuda.call("cudaEventElapsedTime", self._start, self._end))

    def close(self) -> None:
        """Free the events."""
        for event in (self._start, self._end):
            self._cuda.call("cudaEventDestroy", event)


def _install() -> str:
    """How to install cuda-python for this driver: the one for CUDA 13 does not start on a driver for CUDA 12."""
    gpu = find_gpu()
    limit = ",<13" if gpu is not None and int(gpu.cuda.partition(".")[0]) < 13 else ""
    return f"pip install 'cuda-python>=12.6.2{limit}'"


def _remedy(call: str) -> str:
    return "close other programs that use the GPU" if call == "cudaMalloc" else "see wsra doctor"
