"""The result of one check of `wsra doctor`, and the checks of Python, libraries, clashes between them, disk and memory."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from wsra.runtime.device import Device

PYTHONS = ((3, 10), (3, 13))
DISK_MB, MEMORY_MB = 1024, 2048
# Distributions that install into one folder: the last one installed wins, and removing one breaks the other.
FOLDERS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
}
# Extras that only some commands need -> the command. "video" and the extras for graphs and engines have checks of their own.
_OPTIONAL = {"convert": "wsra convert from HDF5", "train": "wsra train", "export": "wsra export"}


State = Literal["ok", "note", "trouble", "fatal"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        state: "ok"; "note" is worth knowing; "trouble" costs something; "fatal" stops `wsra ground`.
        found: what is there.
        fix: what to do; empty only if there is nothing to do.
    """

    name: str
    state: State
    found: str
    fix: str = ""


def release_of(version: str) -> Version | None:
    """The release of a version, 10.3.0 for "10.3.0rc1+cu12"; None if it does not follow PEP 440, as builds by hand may."""
    try:
        return Version(Version(version).base_version)
    except InvalidVersion:
        return None


def version_of(distribution: str) -> str:
    """The installed version, "" if the distribution is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def python_check(version: tuple[int, int]) -> Check:
    """Whether wsra supports the running Python."""
    running = ".".join(map(str, version))
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return Check("Python", "ok", running)
    return Check("Python", "trouble", f"{running}; wsra supports 3.10 to 3.13", "make a virtual environment with Python 3.10 to 3.13")


def requirements() -> dict[str, dict[str, Version | None]]:
    """The lowest versions that wsra requires on this Python: extra ("" for the base) -> distribution -> version, None for any version.

    The result is empty if wsra is not installed.
    """
    try:
        lines = metadata.requires("wsra") or []
    except metadata.PackageNotFoundError:
        return {}
    required: dict[str, dict[str, Version | None]] = {}
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            extras = [""]
        else:
            extras = [extra for extra in ("video", *_OPTIONAL) if marker.evaluate({"extra": extra})]
        lowest = max((Version(bound.version) for bound in requirement.specifier if bound.operator == ">="), default=None)
        for extra in extras:
            required.setdefault(extra, {})[requirement.name] = lowest
    return required


def library_checks() -> list[Check]:
    """wsra, its base libraries, the extra "video" (really imported) and the extras that a device can do without."""
    required = requirements()
    if not required:
        return [Check("wsra", "note", "not installed, run from a folder: libraries are not compared", "pip install 'wsra[cpu,video]'")]
    checks = [Check("wsra", "ok", version_of("wsra")), _base(required.get("", {})), _video(required.get("video", {}))]
    for extra, purpose in _OPTIONAL.items():
        summary, wrong = _compare({name: (version_of(name), lowest) for name, lowest in required.get(extra, {}).items()})
        fix = f"only for {purpose}: pip install 'wsra[{extra}]'" if wrong else ""
        checks.append(Check(f"extra {extra}", "note" if wrong else "ok", summary, fix))
    return checks


def _base(required: dict[str, Version | None]) -> Check:
    summary, wrong = _compare({name: (version_of(name), lowest) for name, lowest in required.items()})
    missing = any(not version_of(name) for name in required)
    fix = f"pip install {' '.join(repr(f'{name}>={required[name]}' if required[name] else name) for name in wrong)}" if wrong else ""
    return Check("base libraries", "fatal" if missing else "trouble" if wrong else "ok", summary, fix)


def _video(required: dict[str, Version | None]) -> Check:
    """Imports modules instead of asking for distributions: OpenCV has many of them, and comes with the system on a Jetson."""
    found: dict[str, tuple[str, Version | None]] = {}
    broken = False
    for module, distribution in (("av", "av"), ("cv2", "opencv-python-headless")):
        try:
            version = str(getattr(importlib.import_module(module), "__version__", ""))
        except ModuleNotFoundError as err:
            version = "" if err.name == module else f"does not load: {_line(err)}"
        except Exception as err:  # a library built for another NumPy or another system may raise anything
            version = f"does not load: {_line(err)}"
        broken = broken or version.startswith("does not load")
        found[module] = version, required.get(distribution)
    summary, wrong = _compare(found)
    if not wrong and not broken:
        return Check("extra video", "ok", summary)
    again = "--force-reinstall " if broken else ""
    fix = f"to extract videos (.feat files can be grounded without): pip install {again}'wsra[video]'"
    return Check("extra video", "trouble", summary, fix)


def _compare(found: dict[str, tuple[str, Version | None]]) -> tuple[str, list[str]]:
    """One line with every name and version, and the names that are missing or too old.

    Args:
        found: name -> the installed version, "" if it is missing, and the lowest that wsra works with.
    """
    parts, wrong = [], []
    for name, (version, lowest) in found.items():
        release = release_of(version)
        is_old = release is not None and lowest is not None and release < lowest
        parts.append(f"{name} {version}" + (f" (older than {lowest})" if is_old else "") if version else f"{name} missing")
        if is_old or not version:
            wrong.append(name)
    return ", ".join(parts), wrong


def clash_checks(*, gpu: bool, install: str = "") -> list[Check]:
    """Installed distributions that overwrite each other.

    Args:
        gpu: whether ONNX Runtime could use a GPU here; it decides which distribution to keep.
        install: command that installs ONNX Runtime here where PyPI has none for the GPU.
    """
    checks = []
    for folder, owners in FOLDERS.items():
        installed = [name for name in owners if version_of(name)]
        if len(installed) < 2:
            continue
        keep = ("onnxruntime-gpu" if gpu else "onnxruntime") if folder == "onnxruntime" else installed[0]
        versions = " and ".join(f"{name} {version_of(name)}" for name in installed)
        again = install if install and folder == "onnxruntime" else f"pip install {keep}"
        fix = f"pip uninstall -y {' '.join(installed)} && {again}"
        checks.append(Check(f"clash {folder}", "trouble", f"{versions} are both installed into one folder, {folder}/", fix))
    return checks


def disk_check(folder: Path) -> Check:
    """Free space for a bundle, its engines or features."""
    free_mb = shutil.disk_usage(folder).free >> 20
    free = f"{free_mb} MiB free at {folder}"
    if free_mb >= DISK_MB:
        return Check("disk", "ok", free)
    return Check("disk", "trouble", f"{free}; expected {DISK_MB} MiB", "free some space, or keep bundle and features on another disk")


def memory_check(device: Device, *, jetson: bool) -> Check:
    """The memory that is free now."""
    shared = "; the GPU shares it" if jetson else ""
    free = f"{device.free_mb} of {device.memory_mb} MiB free{shared}"
    if device.free_mb >= MEMORY_MB:
        return Check("memory", "ok", free)
    fix = "close other programs before wsra build" + (" and run without a desktop: docs/jetson.md" if jetson else "")
    return Check("memory", "note", free if device.memory_mb else "this system does not report it", fix)


def _line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
