"""Whether this machine is a Jetson, which JetPack it runs, and what its hardware decoder needs."""

from __future__ import annotations

from pathlib import Path

from wsra.runtime.device import Device
from wsra.runtime.doctor.checks import Check

# Jetson Linux -> JetPack; the longest match counts. Sources: NVIDIA's release pages and l4t_version.py of jetson-containers.
JETPACKS = {
    "32": "4", "34": "5.0", "35": "5", "36": "6", "36.2": "6.0", "36.3": "6.0", "36.4": "6.1 or newer", "36.4.0": "6.1", "36.4.3": "6.2",
    "36.4.4": "6.2.1", "36.4.7": "6.2.1", "36.5": "6.2.2", "38": "7", "38.2": "7.0", "38.4": "7.1", "39": "7.2", "39.2.1": "7.2.1",
}  # fmt: skip


def is_jetson(device: Device) -> bool:
    """Whether this is a Jetson, even in a container that hides its release."""
    return bool(device.l4t) or "Jetson" in device.board


def jetpack_of(l4t: str) -> str:
    """The JetPack of a release of Jetson Linux; "" for an unknown release."""
    parts = l4t.split(".")
    return next((JETPACKS[key] for n in range(len(parts), 0, -1) if (key := ".".join(parts[:n])) in JETPACKS), "")


def jetson_checks(device: Device, root: Path) -> list[Check]:
    """The JetPack of a Jetson and what its hardware decoder needs; no checks on other machines."""
    if not is_jetson(device):
        return []
    return [_jetpack_check(device), _decoder_tool_check(root)]


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


def _decoder_tool_check(root: Path) -> Check:
    if any((root / folder / "lsmod").exists() for folder in ("bin", "sbin", "usr/bin", "usr/sbin")):
        return Check("lsmod", "ok", "found; NVIDIA's hardware decoder needs it to recognise its GPU; PyAV from PyPI decodes on the CPU")
    found = (
        "missing: without it NVIDIA's hardware decoder opens but returns no frames; PyAV from PyPI decodes on the CPU and does not need it"
    )
    return Check("lsmod", "note", found, "apt-get install kmod before you use NVIDIA's GStreamer or FFmpeg")
