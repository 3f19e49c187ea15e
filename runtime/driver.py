"""The CUDA driver, libcuda.so.1, called through ctypes: no library of NVIDIA's is needed beside the one that comes with the driver."""

from __future__ import annotations

import ctypes
from typing import Any

from wsra.runtime.errors import BackendError

LIBRARY = "libcuda.so.1"
_HANDLE, _ADDRESS, _SIZE, _INT, _FLAGS = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint
_TO = ctypes.POINTER
# Every function that wsra calls, by the name that the driver exports: cuda.h maps some plain names to versions, such as cuMemAlloc to
# cuMemAlloc_v2, and the plain symbol is then one of CUDA 3. All of these are there since CUDA 11.4.
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (_FLAGS,),
    "cuDriverGetVersion": (_TO(_INT),),
    "cuDeviceGetCount": (_TO(_INT),),
    "cuDeviceGet": (_TO(_INT), _INT),
    "cuDeviceGetName": (ctypes.c_char_p, _INT, _INT),
    "cuDeviceTotalMem_v2": (_TO(_SIZE), _INT),
    "cuDeviceGetAttribute": (_TO(_INT), _INT, _INT),
    "cuDevicePrimaryCtxRetain": (_TO(_HANDLE), _INT),
    "cuDevicePrimaryCtxRelease_v2": (_INT,),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuStreamCreate": (_TO(_HANDLE), _FLAGS),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuStreamSynchronize": (_HANDLE,),
    "cuMemAlloc_v2": (_TO(_ADDRESS), _SIZE),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemHostAlloc": (_TO(_HANDLE), _SIZE, _FLAGS),
    "cuMemFreeHost": (_HANDLE,),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, _HANDLE, _SIZE, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (_HANDLE, _ADDRESS, _SIZE, _HANDLE),
    "cuEventCreate": (_TO(_HANDLE), _FLAGS),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventSynchronize": (_HANDLE,),
    "cuEventElapsedTime": (_TO(ctypes.c_float), _HANDLE, _HANDLE),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuStreamBeginCapture_v2": (_HANDLE, _INT),
    "cuStreamEndCapture": (_HANDLE, _TO(_HANDLE)),
    "cuGraphInstantiateWithFlags": (_TO(_HANDLE), _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
    "cuGetErrorName": (_INT, _TO(ctypes.c_char_p)),
    "cuGetErrorString": (_INT, _TO(ctypes.c_char_p)),
}
_REMEDIES = {
    2: "close other programs that use the GPU",  # CUDA_ERROR_OUT_OF_MEMORY
    700: "start the program again; if it fails again, build the engine again with wsra build",  # CUDA_ERROR_ILLEGAL_ADDRESS
    719: "start the program again; if it fails again, build the engine again with wsra build",  # CUDA_ERROR_LAUNCH_FAILED
    803: "restart the machine: the loaded kernel module and libcuda.so.1 are of two drivers",  # CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
}


class Driver:
    """The functions of the driver, each checked for errors.

    Raises (constructor):
        BackendError: there is no driver, or `cuInit` fails.
    """

    def __init__(self) -> None:
        try:
            self._library = open_library()
        except OSError as err:
            raise BackendError(f"no GPU starts: {LIBRARY} does not load ({err}); install NVIDIA's driver, see wsra doctor") from err
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function. Results are written where pointers among the arguments point.

        Raises:
            BackendError: the function is missing, or it returned an error code; the message has its name and a remedy.
        """
        try:
            function = getattr(self._library, name)
        except AttributeError as err:
            raise BackendError(f"the NVIDIA driver has no {name}; wsra needs one for CUDA 11.4 or newer: update the driver") from err
        function.argtypes, function.restype = SIGNATURES[name], ctypes.c_int
        code = function(*arguments)
        if code != 0:
            remedy = _REMEDIES.get(code, "see wsra doctor")
            raise BackendError(f"{name} failed: {self._described(code)}; {remedy}")

    def number(self, name: str, *arguments: Any) -> int:
        """The whole number that a function writes to its first argument; the others are given."""
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value

    def handle(self, name: str, *arguments: Any) -> int:
        """The handle or address that a function writes to its first argument; the others are given."""
        value: Any = SIGNATURES[name][0]._type_()
        self.call(name, ctypes.byref(value), *arguments)
        return int(value.value)

    def _described(self, code: int) -> str:
        """The driver's name of an error, and its text."""
        parts = []
        for name in ("cuGetErrorName", "cuGetErrorString"):
            text = ctypes.c_char_p()
            function = getattr(self._library, name)
            function.argtypes, function.restype = SIGNATURES[name], ctypes.c_int
            if function(code, ctypes.byref(text)) == 0 and text.value:
                parts.append(text.value.decode(errors="replace"))
        return f"{parts[0]} ({', '.join([*parts[1:], f'CUDA error {code}'])})" if parts else f"CUDA error {code}"


def open_library() -> Any:
    """Load the driver's library. Tests replace this function.

    Raises:
        OSError: there is none.
    """
    return ctypes.CDLL(LIBRARY)
