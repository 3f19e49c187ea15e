"""Checks of what runs graphs and engines: the GPU, TensorRT, ONNX Runtime and its providers. Each is really started."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.version import Version

from wsra.runtime.backends.libraries import PROVIDERS, Library
from wsra.runtime.device import Device, Gpu
from wsra.runtime.doctor.checks import Check, State, release_of, version_of
from wsra.runtime.doctor.cuda import CUDA13_SINCE
from wsra.runtime.doctor.jetson import ONNXRUNTIME_FIX, is_jetson, jetpack_of


def gpu_checks(device: Device, shown: Sequence[Gpu], root: Path) -> list[Check]:
    """Whether CUDA starts the chosen GPU; and one check for each other GPU.

    Args:
        device: this machine, with the chosen GPU.
        shown: every GPU that the driver shows.
        root: folder that holds /proc.
    """
    gpu = device.gpu
    if gpu is None:
        return [_no_gpu(device, root)]
    driver = f", driver {gpu.driver}" if gpu.driver else ""
    others = [other for other in shown if other.index != gpu.index]
    number = f"number {gpu.index}: " if others else ""
    return [
        Check("GPU", "ok", f"{number}{_in_words(gpu)}{driver}, CUDA {gpu.cuda}"),
        *(Check(f"GPU {other.index}", "note", _in_words(other), f"to check or use this one: --device {other.index}") for other in others),
    ]


def _in_words(gpu: Gpu) -> str:
    return f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory_mb} MiB"


def _no_gpu(device: Device, root: Path) -> Check:
    if is_jetson(device):
        fix = "in a container: docker run --runtime nvidia; otherwise install nvidia-jetpack"
        return Check("GPU", "trouble", "CUDA starts no GPU on this Jetson", fix)
    if (root / "proc/driver/nvidia/version").is_file():
        fix = "run nvidia-smi and fix what it reports; in a container: docker run --gpus all"
        return Check("GPU", "trouble", "an NVIDIA driver is loaded, but CUDA starts no GPU", fix)
    return Check("GPU", "note", "no NVIDIA GPU; wsra grounds on the CPU")


def tensorrt_checks(libraries: list[Library], device: Device) -> list[Check]:
    """One check for each TensorRT, or one that there is none."""
    jetson = is_jetson(device)
    again = "install nvidia-jetpack; in a virtual environment, use the system's Python with --system-site-packages" if jetson else ""
    if not libraries:
        fix = again or "for engines: pip install 'wsra[trt]'"
        return [Check("TensorRT", "note", "not installed", fix if device.gpu or jetson else "")]
    checks = []
    for library in libraries:
        extra = "rtx" if library.name == "tensorrt_rtx" else "trt"
        if library.failure:
            fix = again or f"pip install --force-reinstall 'wsra[{extra}]'"
            check = Check(library.name, "trouble", f"does not load: {library.failure}", fix)
        elif not library.new_enough:
            fix = "update to JetPack 6.1 or newer" if jetson else f"pip install --upgrade 'wsra[{extra}]'"
            check = Check(library.name, "trouble", f"{library.version}; engines need 10.3 or newer", fix)
        else:
            idle = "" if device.gpu else "; it needs a GPU to run anything"
            check = Check(library.name, "ok", library.version + idle)
        checks.append(check)
    return checks


def runtime_checks(device: Device, *, engines_run: bool) -> list[Check]:
    """ONNX Runtime and its providers; each provider is started.

    Args:
        device: this machine.
        engines_run: whether TensorRT engines can run here, so that `wsra ground` can do without ONNX Runtime.
    """
    name = "ONNX Runtime"
    bad: State = "trouble" if engines_run else "fatal"
    x86_gpu = device.gpu is not None and platform.machine() == "x86_64"
    extra = "gpu" if x86_gpu else "cpu"
    only = "; only engines can run" if engines_run else ""
    try:
        import onnxruntime

        version, available = str(onnxruntime.__version__), set(onnxruntime.get_available_providers())
    except ModuleNotFoundError as err:
        if err.name == "onnxruntime":
            return [Check(name, bad, f"not installed{only}", f"pip install 'wsra[{extra}]'")]
        return [Check(name, bad, f"does not load: {err}{only}", f"pip install 'wsra[{extra}]'")]
    except Exception as err:  # the remains of two installations, or a build for another system
        fix = f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'wsra[{extra}]'"
        if jetpack_of(device.l4t).startswith("6"):
            fix = f"pip uninstall -y onnxruntime onnxruntime-gpu && {ONNXRUNTIME_FIX}"
        return [Check(name, bad, f"does not load: {err}{only}", fix)]
    checks = [Check(name, "ok", version)]
    for kind, provider in PROVIDERS.items():
        if provider in available:
            checks.append(_provider_check(kind, version, device, bad))
    if device.gpu is not None and PROVIDERS["cuda"] not in available:
        checks.append(Check("provider cuda", "note", f"not in this {name}: graphs run on the CPU", _way_to_cuda(device, x86_gpu)))
    return checks


def _provider_check(kind: str, version: str, device: Device, bad: State) -> Check:
    from wsra.runtime.backends.ort import start_failure

    failure, name = start_failure(kind, gpu=device.gpu.index if device.gpu else 0), f"provider {kind}"
    if failure is None:
        return Check(name, "ok", "starts")
    reason = f"does not start: {failure}"
    if kind == "cpu":
        return Check(name, bad, reason, "pip install --force-reinstall onnxruntime")
    if device.gpu is None:
        return Check(name, "note", f"does not start: there is no GPU ({failure})")
    if kind == "tensorrt":
        return Check(name, "note", reason, "use wsra build and --provider engine instead, or --provider cuda")
    release = release_of(version)
    needs_cuda13 = release is not None and release >= CUDA13_SINCE and bool(version_of("onnxruntime-gpu"))
    if needs_cuda13 and Version(device.gpu.cuda).major < 13:
        fix = "pip install 'onnxruntime-gpu<1.27', or install a driver for CUDA 13"
        return Check(name, "trouble", f"{reason}; onnxruntime-gpu {version} is for CUDA 13, the driver supports {device.gpu.cuda}", fix)
    return Check(name, "trouble", reason, "install the CUDA and cuDNN libraries of this build: pip install 'onnxruntime-gpu[cuda,cudnn]'")


def _way_to_cuda(device: Device, x86_gpu: bool) -> str:
    if x86_gpu:
        return "pip uninstall -y onnxruntime && pip install 'wsra[gpu]', or wsra build and --provider engine"
    if jetpack_of(device.l4t).startswith("6"):
        if tuple(sys.version_info[:2]) != (3, 10):
            return "wsra build, then --provider engine; onnxruntime-gpu for JetPack 6 needs the system's Python 3.10"
        return f"wsra build, then --provider engine; or pip uninstall -y onnxruntime && {ONNXRUNTIME_FIX}"
    if tuple(sys.version_info[:2]) < (3, 11):
        return "wsra build, then --provider engine: PyPI has no onnxruntime-gpu for aarch64 and Python 3.10"
    return "wsra build, then --provider engine; PyPI has onnxruntime-gpu for aarch64 and CUDA 13 since 1.29, untested on a Jetson"
