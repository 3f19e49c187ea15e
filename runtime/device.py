"""What this machine is: processor, memory, GPU and driver, and the board of a Jetson. Needs no library of NVIDIA's."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.driver import Driver
from wsra.runtime.errors import BackendError, ConfigError

_MAJOR, _MINOR, _MULTIPROCESSORS = 75, 76, 16  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, _MULTIPROCESSOR_COUNT


@dataclass(frozen=True)
class Gpu:
    """A visible NVIDIA GPU.

    Attributes:
        name: as the driver names it.
        compute_capability: "8.7".
        memory_mb: of the GPU; on a Jetson it is the memory of the whole machine.
        driver: version of the kernel driver, or "" where it does not say (Jetson).
        cuda: newest CUDA that the driver serves, "12.6".
        multiprocessors: how many; it tells modules apart that share a name, as those of Jetson Orin do, and power modes of one module.
        index: its number among the visible GPUs, from 0.
    """

    name: str
    compute_capability: str
    memory_mb: int
    driver: str
    cuda: str
    multiprocessors: int
    index: int = 0


@dataclass(frozen=True)
class Device:
    """This machine.

    Attributes:
        cpu: name of the processor.
        cores: that this process may use.
        memory_mb: installed.
        free_mb: available now.
        gpu: the chosen GPU if it really starts, or None.
        l4t: release of Jetson Linux, "36.4.3", or "".
        board: model of a Jetson, or "".
        power_mode: power mode of a Jetson as nvpmodel names it, such as "15W", or "".
    """

    cpu: str
    cores: int
    memory_mb: int
    free_mb: int
    gpu: Gpu | None
    l4t: str
    board: str
    power_mode: str = ""

    @property
    def name(self) -> str:
        """A short name for files: the GPU, its multiprocessors and compute capability, or the processor and its cores."""
        gpu = self.gpu
        told = f"{gpu.name} {gpu.multiprocessors} sm{gpu.compute_capability.replace('.', '')}" if gpu else f"{self.cpu} {self.cores}"
        return re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-")


def this_device(root: Path = Path("/"), *, gpu: int = 0) -> Device:
    """Look at this machine.

    Args:
        root: where /proc, /etc and /var are read; another one only in tests.
        gpu: number of the GPU to use, from 0.

    Raises:
        ConfigError: there are GPUs, but not so many; or another than the first is asked for, and none starts.
    """
    memory_mb, free_mb = _memory(root)
    cores, found = len(os.sched_getaffinity(0)), find_gpu(root, index=gpu)
    return Device(_cpu(root), cores, memory_mb, free_mb, found, l4t_release(root), board_model(root), power_mode(root))


def l4t_release(root: Path = Path("/")) -> str:
    """Release of Jetson Linux, "36.4.3"; "" on other machines."""
    text = _read(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+)\D+REVISION:\s*([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else ""


def board_model(root: Path = Path("/")) -> str:
    """Model of the board as the device tree tells it; "" where there is none."""
    return _read(root / "proc/device-tree/model").strip("\0\n ")


def power_mode(root: Path = Path("/")) -> str:
    """Power mode of a Jetson as nvpmodel names it, or its number if the name is unknown; "" on other machines.

    nvpmodel keeps the number in /var/lib/nvpmodel/status and reads the names from /etc/nvpmodel.conf.
    """
    number = re.search(r"pmode:(\d+)", _read(root / "var/lib/nvpmodel/status"))
    if number is None:
        return ""
    named = re.search(rf"<\s*POWER_MODEL\s+ID=0*{int(number[1])}\s+NAME=(\S+?)\s*>", _read(root / "etc/nvpmodel.conf"))
    return named[1] if named else str(int(number[1]))


def find_gpu(root: Path = Path("/"), *, index: int = 0) -> Gpu | None:
    """A GPU that the CUDA driver starts, or None. A driver without a working GPU counts as none.

    Args:
        root: where /proc is read; another one only in tests.
        index: its number, from 0.

    Raises:
        ConfigError: there are GPUs, but not so many; or another than the first is asked for, and none starts.
    """
    try:
        driver = Driver()
        count = driver.number("cuDeviceGetCount")
        if index < count:
            return _described(driver, index, root)
    except BackendError:
        count = 0
    if count:
        expected = "the only GPU has the number 0" if count == 1 else f"expected 0 to {count - 1}"
        raise ConfigError(f"--device {index}: {count} GPU{'s' if count > 1 else ''} here; {expected}")
    if index:
        raise ConfigError(f"--device {index}: no GPU starts here; leave --device out, and see wsra doctor")
    return None


def find_gpus(root: Path = Path("/")) -> list[Gpu]:
    """Every GPU that the CUDA driver shows, by number; none where no driver works.

    Args:
        root: where /proc is read; another one only in tests.
    """
    try:
        driver = Driver()
        return [_described(driver, index, root) for index in range(driver.number("cuDeviceGetCount"))]
    except BackendError:
        return []


def _described(driver: Driver, index: int, root: Path) -> Gpu:
    version, device = driver.number("cuDriverGetVersion"), driver.number("cuDeviceGet", index)
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    driver.call("cuDeviceGetName", name, len(name), device)
    driver.call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    major, minor, count = (driver.number("cuDeviceGetAttribute", number, device) for number in (_MAJOR, _MINOR, _MULTIPROCESSORS))
    return Gpu(
        name.value.decode(errors="replace"),
        f"{major}.{minor}",
        memory.value >> 20,
        driver_version(_read(root / "proc/driver/nvidia/version")),
        f"{version // 1000}.{version % 1000 // 10}",
        count,
        index,
    )


def driver_version(text: str) -> str:
    """The driver's version in /proc/driver/nvidia/version, "" if it is not there.

    The line names the kernel module first, in several ways ("NVIDIA UNIX x86_64 Kernel Module  550.54.15", "NVIDIA UNIX Open Kernel Module
    for x86_64  570.86.15"): the version is the first word of its own that is made of numbers and dots.
    """
    line = next((line for line in text.splitlines() if line.startswith("NVRM version")), "")
    found = re.search(r"(?<=\s)\d+(?:\.\d+)+(?=\s|$)", line)
    return found[0] if found else ""


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
