"""Whether this machine is a Jetson, which JetPack and power mode it runs, and what its GPU and hardware decoder need."""

from __future__ import annotations

import os
from pathlib import Path

from wsra.runtime.device import Device
from wsra.runtime.doctor.checks import Check

# Jetson Linux -> JetPack; the longest match counts. Sources: NVIDIA's release pages and l4t_version.py of jetson-containers.
JETPACKS = {
    "32": "4", "34": "5.0", "35": "5", "36": "6", "36.2": "6.0", "36.3": "6.0", "36.4": "6.1 or newer", "36.4.0": "6.1", "36.4.3": "6.2",
    "36.4.4": "6.2.1", "36.4.7": "6.2.1", "36.5": "6.2.2", "38": "7", "38.2": "7.0", "38.4": "7.1", "39": "7.2", "39.2.1": "7.2.1",
}  # fmt: skip

# PyPI has no onnxruntime-gpu for aarch64 and Python 3.10; NVIDIA's index for JetPack 6 does. They need NumPy 1, and wsra 1.26.
ONNXRUNTIME_FIX = "pip install 'numpy>=1.26,<2' && pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/jp6/cu126"


def is_jetson(device: Device) -> bool:
    """Whether this is a Jetson, even in a container that hides its release."""
    return bool(device.l4t) or "Jetson" in device.board


def jetpack_of(l4t: str) -> str:
    """The JetPack of a release of Jetson Linux; "" for an unknown release."""
    parts = l4t.split(".")
    return next((JETPACKS[key] for n in range(len(parts), 0, -1) if (key := ".".join(parts[:n])) in JETPACKS), "")


def jetson_checks(device: Device, root: Path) -> list[Check]:
    """The JetPack of a Jetson, its power mode and clocks, and what its GPU and decoder need; no checks on other machines."""
    if not is_jetson(device):
        return []
    return [
        _jetpack_check(device),
        power_check(device, root),
        groups_check(root, set(os.getgroups()), os.geteuid()),
        _decoder_tool_check(root),
    ]


def _jetpack_check(device: Device) -> Check:
    board = device.board or "Jetson"
    if not device.l4t:
        fix = "in a container: docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
        return Check("JetPack", "note", f"{board}; its release is unknown (no /etc/nv_tegra_release)", fix)
    jetpack = jetpack_of(device.l4t)
    release = f"{board}, L4T {device.l4t} = JetPack {jetpack}"
    if not jetpack:
        return Check(
            "JetPack",
            "note",
            f"{board}, L4T {device.l4t}: this wsra does not know it",
            "rely on the other checks, and report them",
        )
    if int(jetpack.partition(".")[0]) <= 5:
        fix = "install JetPack 6.1 or newer (Orin); older boards: use the CPU, with a Python 3.10 of your own"
        return Check("JetPack", "trouble", f"{release}: not supported (JetPack 5 has Python 3.8 and TensorRT 8.5)", fix)
    if jetpack == "6.0":
        return Check("JetPack", "trouble", f"{release}: its TensorRT is 8.6, engines need 10.3", "install JetPack 6.1 or newer")
    return Check("JetPack", "ok", release)


def power_check(device: Device, root: Path) -> Check:
    """The power mode, and whether jetson_clocks holds the GPU at its highest clock (its lowest and highest are then the same)."""
    mode = device.power_mode or "unknown (no /var/lib/nvpmodel/status)"
    gpu = f", {device.gpu.multiprocessors} multiprocessors" if device.gpu else ""
    folders = [path for path in (root / "sys/class/devfreq").glob("*") if path.name.endswith((".gpu", ".ga10b", ".gv11b"))]
    limits = [_clocks(folder) for folder in folders]
    known = [(low, high) for low, high in limits if low and high]
    clocks = "" if not known else "; jetson_clocks is on" if all(low == high for low, high in known) else "; jetson_clocks is off"
    fix = "before you measure: sudo nvpmodel -m MODE and sudo jetson_clocks; after a change of the mode: wsra build and wsra verify"
    found = f"nvpmodel {mode}{gpu}{clocks}"
    return Check("power mode", "ok", found) if clocks.endswith("on") and device.power_mode else Check("power mode", "note", found, fix)


def _clocks(folder: Path) -> tuple[str, str]:
    try:
        low, high = ((folder / name).read_text(encoding="utf-8").strip() for name in ("min_freq", "max_freq"))
    except OSError:
        return "", ""
    return low, high


def groups_check(root: Path, mine: set[int], user: int) -> Check:
    """Whether the user is in the groups to which the GPU's and the decoder's device files belong.

    Args:
        root: where /etc is read.
        mine: numbers of the groups of this process.
        user: number of its user; 0 may open every file.
    """
    try:
        lines = [line.split(":") for line in (root / "etc/group").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return Check("groups", "note", "unknown (no /etc/group)", "if the GPU does not start: sudo usermod -aG video,render $USER")
    numbers = {parts[0]: int(parts[2]) for parts in lines if len(parts) > 2 and parts[0] in ("video", "render") and parts[2].isdigit()}
    missing = [] if user == 0 else [name for name, number in numbers.items() if number not in mine]
    if missing:
        fix = f"sudo usermod -aG {','.join(missing)} $USER, then log in again; in a container: docker run --group-add {missing[0]}"
        return Check("groups", "trouble", f"this user is not in {' and '.join(missing)}, to which the device files of the GPU belong", fix)
    return Check("groups", "ok", f"{' and '.join(numbers) or 'no group'} of the device files" + (" (root)" if user == 0 else ""))


def _decoder_tool_check(root: Path) -> Check:
    if any((root / folder / "lsmod").exists() for folder in ("bin", "sbin", "usr/bin", "usr/sbin")):
        return Check("lsmod", "ok", "found; NVIDIA's hardware decoder needs it to recognise its GPU; PyAV from PyPI decodes on the CPU")
    found = (
        "missing: without it NVIDIA's hardware decoder opens but returns no frames; PyAV from PyPI decodes on the CPU and does not need it"
    )
    return Check("lsmod", "note", found, "apt-get install kmod before you use NVIDIA's GStreamer or FFmpeg")
