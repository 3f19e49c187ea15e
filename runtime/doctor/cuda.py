"""Whether the driver serves the CUDA for which TensorRT and ONNX Runtime were built."""

from __future__ import annotations

from importlib import metadata

from packaging.version import Version

from wsra.runtime.device import Device
from wsra.runtime.doctor.checks import Check, release_of, version_of
from wsra.runtime.doctor.jetson import is_jetson

CUDA13_SINCE = Version("1.27")  # wheels of onnxruntime-gpu on PyPI require CUDA 12 up to 1.26 and CUDA 13 from 1.27 (their metadata)
_REMEDIES = {
    "tensorrt": "pip uninstall -y tensorrt tensorrt-cu{found} && pip install 'tensorrt-cu{driver}>=10.3'",
    "tensorrt-rtx": "pip uninstall -y tensorrt-rtx-cu{found} && pip install tensorrt-rtx-cu{driver}",
    "onnxruntime-gpu": "pip install 'onnxruntime-gpu<1.27'",
}


def cuda_check(device: Device) -> list[Check]:
    """Compare the CUDA of the driver with those of the installed libraries; no check where no GPU starts.

    A driver serves programs of its own major version of CUDA, in any minor one, and of older ones.
    """
    if device.gpu is None:
        return []
    driver = int(device.gpu.cuda.partition(".")[0])
    needed = cuda_of_libraries(jetson=is_jetson(device))
    found = ", ".join([f"the driver serves CUDA {device.gpu.cuda}", *(f"{name} is for CUDA {major}" for name, major in needed.items())])
    newer = {name: major for name, major in needed.items() if major > driver}
    if not newer:
        return [Check("CUDA", "ok", found)]
    fixes = [_REMEDIES[name].format(found=major, driver=driver) for name, major in newer.items()]
    fix = "; ".join([*fixes, f"or install a driver for CUDA {max(newer.values())}"])
    return [Check("CUDA", "trouble", f"{found}: too new for the driver", fix)]


def cuda_of_libraries(*, jetson: bool) -> dict[str, int]:
    """Distribution -> major version of the CUDA for which it was built, as far as its name or version says so."""
    majors: dict[str, int] = {}
    installed = {name.lower().replace("_", "-") for found in metadata.distributions() if (name := found.metadata["Name"])}
    for major in (12, 13):
        for library in ("tensorrt", "tensorrt-rtx"):
            if installed & {f"{library}-cu{major}", f"{library}-cu{major}-libs"}:
                majors[library] = major
    release = release_of(version_of("onnxruntime-gpu")) if version_of("onnxruntime-gpu") else None
    if release is not None and not jetson:  # builds for a Jetson follow its JetPack, whatever their version
        majors["onnxruntime-gpu"] = 13 if release >= CUDA13_SINCE else 12
    return majors
