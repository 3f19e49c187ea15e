"""What doctor says of one thing, and its checks of software and room: Python, libraries, clashes, disk, memory."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from wsra.runtime.device import Device

PYTHONS = ((3, 10), (3, 13))
DISK_MB, MEMORY_MB = 1024, 2048
# Distributions that own one folder: the last installed wins, and removing one breaks the other.
FOLDERS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
}
# Extras that only some commands need -> what for. Those that run graphs and engines, and "video", have checks of their own.
_OPTIONAL = {"convert": "wsra convert from HDF5", "train": "wsra train", "export": "wsra export"}


State = Literal["ok", "note", "trouble", "fatal"]


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: "ok"; "note" is worth knowing; "trouble" costs something; "fatal" stops `wsra ground`.
        found: what is there.
        fix: what to do; empty only when nothing is to be done.
    """

    name: str
    state: State
    found: str
    fix: str = ""


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: (10, 3, 0, 26); empty when it holds none."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def version_of(distribution: str) -> str:
    """Installed version, "" when it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def python_check(version: tuple[int, int]) -> Check:
    """The running Python against those that wsra is for."""
    told = ".".join(map(str, version))
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return Check("Python", "ok", told)
    return Check("Python", "trouble", f"{told}; wsra is for 3.10 to 3.13", "make a virtual environment with Python 3.10 to 3.13")


def requirements() -> dict[str, dict[str, str]]:
    """What wsra asks for: extra ("" for the base) -> distribution -> lowest version. Empty when wsra is not installed."""
    try:
        lines = metadata.requires("wsra") or []
    except metadata.PackageNotFoundError:
        return {}
    wanted: dict[str, dict[str, str]] = {}
    for line in lines:
        asked, _, marker = line.partition(";")
        below = re.search(r'python_version\s*<\s*"3\.(\d+)"', marker)
        extra = re.search(r'extra\s*==\s*[\'"]([\w-]+)', marker)
        name = re.match(r"[\w.-]+", asked)
        if name is None or (below and sys.version_info >= (3, int(below[1]))):
            continue
        lowest = re.search(r"[>=]=\s*([\d.]+)", asked)
        wanted.setdefault(extra[1] if extra else "", {})[name[0]] = lowest[1] if lowest else ""
    return wanted


def library_checks() -> list[Check]:
    """Version of wsra, its base libraries, the extra "video" (really imported) and the extras that a device needs not have."""
    wanted = requirements()
    if not wanted:
        return [Check("wsra", "note", "not installed, run from a folder: libraries are not compared", "pip install 'wsra[cpu,video]'")]
    checks = [Check("wsra", "ok", version_of("wsra")), _base(wanted.get("", {})), _video(wanted.get("video", {}))]
    for extra, purpose in _OPTIONAL.items():
        told, wrong = _compare({name: (version_of(name), lowest) for name, lowest in wanted.get(extra, {}).items()})
        fix = f"only for {purpose}: pip install 'wsra[{extra}]'" if wrong else ""
        checks.append(Check(f"extra {extra}", "note" if wrong else "ok", told, fix))
    return checks


def _base(wanted: dict[str, str]) -> Check:
    told, wrong = _compare({name: (version_of(name), lowest) for name, lowest in wanted.items()})
    missing = any(not version_of(name) for name in wanted)
    fix = f"pip install {' '.join(repr(f'{name}>={wanted[name]}') for name in wrong)}" if wrong else ""
    return Check("base libraries", "fatal" if missing else "trouble" if wrong else "ok", told, fix)


def _video(wanted: dict[str, str]) -> Check:
    """Modules, not distributions: OpenCV comes under many names, and from the system on a Jetson."""
    found: dict[str, tuple[str, str]] = {}
    broken: list[str] = []
    for module, distribution in (("av", "av"), ("cv2", "opencv-python-headless")):
        try:
            version = str(getattr(importlib.import_module(module), "__version__", ""))
        except ModuleNotFoundError as err:
            version = "" if err.name == module else f"does not load: {_line(err)}"
        except Exception as err:  # a library built for another NumPy or another system may raise anything
            version = f"does not load: {_line(err)}"
        broken += [module] if version.startswith("does not load") else []
        found[module] = version, wanted.get(distribution, "")
    told, wrong = _compare(found)
    if not wrong and not broken:
        return Check("extra video", "ok", told)
    again = "--force-reinstall " if broken else ""
    return Check(
        "extra video", "trouble", told, f"to extract videos (.feat files can be grounded without): pip install {again}'wsra[video]'"
    )


def _compare(found: dict[str, tuple[str, str]]) -> tuple[str, list[str]]:
    """Names with versions in words, and the names that are missing or too old."""
    told, wrong = [], []
    for name, (version, lowest) in found.items():
        old = bool(version) and numbers(version)[: len(numbers(lowest))] < numbers(lowest) and not version.startswith("does")
        told.append(f"{name} {version}" + (f" (older than {lowest})" if old else "") if version else f"{name} missing")
        wrong += [name] if old or not version else []
    return ", ".join(told), wrong


def clash_checks(*, gpu: bool) -> list[Check]:
    """Installed distributions that overwrite each other.

    Args:
        gpu: whether ONNX Runtime could use a GPU here, which decides the one to keep.
    """
    checks = []
    for folder, owners in FOLDERS.items():
        there = [name for name in owners if version_of(name)]
        if len(there) < 2:
            continue
        keep = ("onnxruntime-gpu" if gpu else "onnxruntime") if folder == "onnxruntime" else there[0]
        told = " and ".join(f"{name} {version_of(name)}" for name in there)
        fix = f"pip uninstall -y {' '.join(there)} && pip install {keep}"
        checks.append(Check(f"clash {folder}", "trouble", f"{told} are both installed and own one folder, {folder}/", fix))
    return checks


def disk_check(folder: Path) -> Check:
    """Room where a bundle, its engines or features are written."""
    free_mb = shutil.disk_usage(folder).free >> 20
    told = f"{free_mb} MiB free at {folder}"
    if free_mb >= DISK_MB:
        return Check("disk", "ok", told)
    return Check("disk", "trouble", f"{told}; {DISK_MB} MiB are expected", "free some room, or keep bundle and features on another disk")


def memory_check(device: Device, *, jetson: bool) -> Check:
    """Memory that is free now."""
    shared = "; the GPU shares it" if jetson else ""
    told = f"{device.free_mb} of {device.memory_mb} MiB free{shared}"
    if device.free_mb >= MEMORY_MB:
        return Check("memory", "ok", told)
    fix = "close other programs before wsra build" + (" and run without a desktop: docs/jetson.md" if jetson else "")
    return Check("memory", "note", told if device.memory_mb else "not told by this system", fix)


def _line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
