"""The calls of the CUDA driver against a library of C: argument types as in cuda.h, with handles and addresses beyond 32 bits."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fake_tensorrt
from wsra.runtime import driver
from wsra.runtime.backends.cuda import Cuda
from wsra.runtime.device import Gpu, find_gpu, find_gpus
from wsra.runtime.errors import BackendError, ConfigError

pytestmark = pytest.mark.device

# Prototypes from cuda.h of CUDA 12.6. Handles and addresses have bits above the 32nd, and every function refuses what it did not give out.
STAND_IN = r"""
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
typedef int CUresult, CUdevice, CUdevice_attribute, CUstreamCaptureMode;
typedef unsigned long long CUdeviceptr, cuuint64_t;
typedef struct ctx *CUcontext; typedef struct st *CUstream; typedef struct ev *CUevent; typedef struct gr *CUgraph;
typedef struct ex *CUgraphExec;
#define TAG 0x5a00000000000000ULL
#define CONTEXT ((CUcontext)0x7000000000000001ULL)
#define STREAM ((CUstream)0x7000000000000002ULL)
#define EVENT ((CUevent)0x7000000000000003ULL)
#define GRAPH ((CUgraph)0x7000000000000004ULL)
#define EXECUTABLE ((CUgraphExec)0x7000000000000005ULL)
#define NEEDS(condition) do { if (!(condition)) return 1; } while (0)
CUresult cuInit(unsigned int flags) { NEEDS(flags == 0); return 0; }
CUresult cuDriverGetVersion(int *version) { *version = 12060; return 0; }
CUresult cuDeviceGetCount(int *count) { *count = 2; return 0; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) { NEEDS(ordinal >= 0 && ordinal < 2); *device = 40 + ordinal; return 0; }
CUresult cuDeviceGetName(char *name, int size, CUdevice device) {
    NEEDS(size == 256 && device >= 40); strcpy(name, device == 40 ? "first" : "second"); return 0;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) { NEEDS(device >= 40); *bytes = 80ULL << 30; return 0; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    NEEDS(device >= 40); *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : -1; return 0;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) { NEEDS(device == 41); *context = CONTEXT; return 0; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { NEEDS(device == 41); return 0; }
CUresult cuCtxSetCurrent(CUcontext context) { NEEDS(context == CONTEXT); return 0; }
CUresult cuStreamCreate(CUstream *stream, unsigned int flags) { NEEDS(flags == 0); *stream = STREAM; return 0; }
CUresult cuStreamDestroy_v2(CUstream stream) { NEEDS(stream == STREAM); return 0; }
CUresult cuStreamSynchronize(CUstream stream) { NEEDS(stream == STREAM); return 0; }
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
    if (size > 1ULL << 40) return 2;
    *address = TAG | (CUdeviceptr)malloc(size); return 0;
}
CUresult cuMemFree_v2(CUdeviceptr address) { NEEDS((address & TAG) == TAG); free((void *)(address & ~TAG)); return 0; }
CUresult cuMemHostAlloc(void **address, size_t size, unsigned int flags) { NEEDS(flags == 0); *address = malloc(size); return 0; }
CUresult cuMemFreeHost(void *address) { free(address); return 0; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, CUstream stream) {
    NEEDS((target & TAG) == TAG && stream == STREAM); memcpy((void *)(target & ~TAG), source, size); return 0;
}
CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, CUstream stream) {
    NEEDS((source & TAG) == TAG && stream == STREAM); memcpy(target, (void *)(source & ~TAG), size); return 0;
}
CUresult cuEventCreate(CUevent *event, unsigned int flags) { NEEDS(flags == 0); *event = EVENT; return 0; }
CUresult cuEventRecord(CUevent event, CUstream stream) { NEEDS(event == EVENT && stream == STREAM); return 0; }
CUresult cuEventSynchronize(CUevent event) { NEEDS(event == EVENT); return 0; }
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) { NEEDS(start == EVENT && end == EVENT); *ms = 0.5f; return 0; }
CUresult cuEventDestroy_v2(CUevent event) { NEEDS(event == EVENT); return 0; }
CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) { NEEDS(stream == STREAM && mode == 1); return 0; }
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) { NEEDS(stream == STREAM); *graph = GRAPH; return 0; }
CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    NEEDS(graph == GRAPH && flags == 0); *executable = EXECUTABLE; return 0;
}
CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) { NEEDS(executable == EXECUTABLE && stream == STREAM); return 0; }
CUresult cuGraphExecDestroy(CUgraphExec executable) { NEEDS(executable == EXECUTABLE); return 0; }
CUresult cuGraphDestroy(CUgraph graph) { NEEDS(graph == GRAPH); return 0; }
CUresult cuGetErrorName(CUresult error, const char **text) { *text = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "OTHER"; return 0; }
CUresult cuGetErrorString(CUresult error, const char **text) { *text = "as the driver describes it"; return 0; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) is installed, which makes the stand-in of the driver")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "cuda.c").write_text(STAND_IN)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", folder / "libcuda.so.1", folder / "cuda.c"], check=True)
    return folder / "libcuda.so.1"


@pytest.fixture
def in_c(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", str(library))


def test_every_function_takes_what_c_takes(in_c: None) -> None:
    sent = np.arange(1000, dtype=np.float32)
    cuda = Cuda(1)
    host, back, address = cuda.pinned("x", (1000,), "float32"), cuda.pinned("y", (1000,), "float32"), cuda.buffer("x", sent.nbytes)
    assert address >> 56 == 0x5A
    np.copyto(host, sent)
    cuda.upload(address, host)
    cuda.download(back, address)
    cuda.wait()
    np.testing.assert_array_equal(back, sent)
    graph = cuda.capture(lambda: cuda.upload(address, host))
    graph.launch()
    graph.close()
    watch = cuda.timer()
    watch.start()
    assert watch.stop() == 0.5
    watch.close()
    with pytest.raises(BackendError, match=r"cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY \(as the driver describes it, CUDA error 2\)"):
        cuda.buffer("large", 1 << 41)
    cuda.close()
    cuda.close()  # nothing is freed twice


def test_a_gpu_is_found_by_its_number(in_c: None, tmp_path: Path) -> None:
    assert find_gpu(tmp_path, index=1) == Gpu("second", "9.0", 81920, "", "12.6", 132, 1)
    assert find_gpu(tmp_path) == Gpu("first", "9.0", 81920, "", "12.6", 132, 0)
    assert find_gpus(tmp_path) == [find_gpu(tmp_path, index=number) for number in (0, 1)]
    with pytest.raises(ConfigError, match=r"--device 2: 2 GPUs here; expected 0 to 1"):
        find_gpu(tmp_path, index=2)


def test_every_function_is_in_the_stand_in(library: Path) -> None:
    loaded = ctypes.CDLL(str(library))
    assert [name for name in driver.SIGNATURES if not hasattr(loaded, name)] == []


def test_an_old_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    started = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint)(lambda flags: 0)
    monkeypatch.setattr(driver, "open_library", lambda: SimpleNamespace(cuInit=started))
    with pytest.raises(BackendError, match="has no cuStreamBeginCapture_v2; wsra needs one for CUDA 11.4 or newer: update the driver"):
        driver.Driver().call("cuStreamBeginCapture_v2", 1, 1)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = fake_tensorrt.FakeCuda(gpus=1)
    monkeypatch.setattr(driver, "open_library", lambda: cuda)
    with pytest.raises(ConfigError, match=r"--device 1: 1 GPU here; the only GPU has the number 0"):
        find_gpu(tmp_path, index=1)
    cuda.fail = {"cuInit": 100}
    assert find_gpu(tmp_path) is None and find_gpus(tmp_path) == []
    with pytest.raises(ConfigError, match=r"--device 1: no GPU starts here; leave --device out"):
        find_gpu(tmp_path, index=1)
