"""What this machine is: processor, memory, GPU and driver, and the board of a Jetson. Needs no library of NVIDIA's."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

_MAJOR, _MINOR, _MULTIPROCESSORS = 75, 76, 16  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, _MULTIPROCESSOR_COUNT


@dataclass(frozen=True)
class Gpu:
    """The first visible NVIDIA GPU.

    Attributes:
        name: as the driver tells it.
        compute_capability: "8.7".
        memory_mb: of the GPU; on a Jetson it is the memory of the whole machine.
        driver: version of the kernel driver, or "" where it does not say (Jetson).
        cuda: newest CUDA that the driver serves, "12.6".
        multiprocessors: how many; it tells modules apart that share a name, as those of Jetson Orin do.
    """

    name: str
    compute_capability: str
    memory_mb: int
    driver: str
    cuda: str
    multiprocessors: int


@dataclass(frozen=True)
class Device:
    """This machine.

    Attributes:
        cpu: name of the processor.
        cores: that this process may use.
        memory_mb: installed.
        free_mb: available now.
        gpu: the first GPU that really starts, or None.
        l4t: release of Jetson Linux, "36.4.3", or "".
        board: model of a Jetson, or "".
    """

    cpu: str
    cores: int
    memory_mb: int
    free_mb: int
    gpu: Gpu | None
    l4t: str
    board: str

    @property
    def name(self) -> str:
        """A short name for files: the GPU, its multiprocessors and compute capability, or the processor and its cores."""
        gpu = self.gpu
        told = f"{gpu.name} {gpu.multiprocessors} sm{gpu.compute_capability.replace('.', '')}" if gpu else f"{self.cpu} {self.cores}"
        return re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-")


def this_device(root: Path = Path("/")) -> Device:
    """Look at this machine.

    Args:
        root: where /proc and /etc are read; another one only in tests.
    """
    memory_mb, free_mb = _memory(root)
    return Device(_cpu(root), len(os.sched_getaffinity(0)), memory_mb, free_mb, find_gpu(root), l4t_release(root), board_model(root))


def l4t_release(root: Path = Path("/")) -> str:
    """Release of Jetson Linux, "36.4.3"; "" on other machines."""
    text = _read(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+)\D+REVISION:\s*([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else ""


def board_model(root: Path = Path("/")) -> str:
    """Model of the board as the device tree tells it; "" where there is none."""
    return _read(root / "proc/device-tree/model").strip("\0\n ")


def find_gpu(root: Path = Path("/")) -> Gpu | None:
    """The first GPU that the CUDA driver starts, or None. A driver without a working GPU counts as none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version, device, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name, major, minor, count = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    calls = (
        (cuda.cuInit, (0,)),
        (cuda.cuDriverGetVersion, (ctypes.byref(version),)),
        (cuda.cuDeviceGet, (ctypes.byref(device), 0)),
        (cuda.cuDeviceGetName, (name, 256, device)),
        (cuda.cuDeviceTotalMem_v2, (ctypes.byref(memory), device)),
        (cuda.cuDeviceGetAttribute, (ctypes.byref(major), _MAJOR, device)),
        (cuda.cuDeviceGetAttribute, (ctypes.byref(minor), _MINOR, device)),
        (cuda.cuDeviceGetAttribute, (ctypes.byref(count), _MULTIPROCESSORS, device)),
    )
    # In order, since each needs the ones before; device is read when its call comes, after cuDeviceGet has filled it.
    if any(call(*arguments) != 0 for call, arguments in calls):
        return None
    driver = re.search(r"Kernel Module[^\d]*([\d.]+)", _read(root / "proc/driver/nvidia/version"))
    return Gpu(
        name.value.decode(errors="replace"),
        f"{major.value}.{minor.value}",
        memory.value >> 20,
        driver[1] if driver else "",
        f"{version.value // 1000}.{version.value % 1000 // 10}",
        count.value,
    )


def _cpu(root: Path) -> str:
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory(root: Path) -> tuple[int, int]:
    """Installed and available memory in MiB."""
    lines = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE))
    return int(lines.get("MemTotal", 0)) >> 10, int(lines.get("MemAvailable", 0)) >> 10


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
