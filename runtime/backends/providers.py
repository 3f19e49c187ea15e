"""Options of ONNX Runtime's GPU providers, and where the TensorRT provider keeps what it builds."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from platformdirs import user_cache_path

from wsra.runtime.backends.engines import Profile
from wsra.runtime.device import Device
from wsra.runtime.files.writing import sha256_of
from wsra.runtime.formats.bundle import GOLDEN, Bundle

logger = logging.getLogger(__name__)

Options = dict[str, str]


def provider_options(provider: str, *, gpu: int = 0) -> Options:
    """Options that every graph has on a provider.

    Args:
        provider: "cpu", "cuda" or "tensorrt".
        gpu: number of the GPU, from 0.
    """
    if provider == "cpu":
        return {}
    # TF32, on by default, rounds the factors of FP32 products to 10 bits.
    return {"device_id": str(gpu)} | ({"use_tf32": "0"} if provider == "cuda" else {})


def tensorrt_options(bundle: Bundle, device: Device, precision: str, graph: str) -> Options:
    """Options of the TensorRT provider for a graph of a bundle: its shapes, its precision, and the caches of engines and timings.

    Without the caches it builds in every process, and without the shapes again for every new length. FP16 and INT8 are in the graph;
    TensorRT 10 needs the flags all the same, because the provider builds weakly typed networks.
    """
    folder = provider_cache(bundle.folder, device, precision, key=bundle.manifest.files.get(GOLDEN, "bundle")[:16])
    return _cache_options(folder) | _precision_options(precision) | profile_options(bundle.manifest.profiles.get(graph, []))


def picture_options(graph: Path, device: Device, bundle: Path | None, profile: Profile | None) -> Options:
    """As `tensorrt_options`, for the graph of an encoder or a detector, whose precision is the name of its folder.

    The provider knows an engine by names in the graph and not by its weights, so beside a graph the caches lie in a folder named by the
    digest of the graph. The graphs of a bundle do not change.

    Args:
        graph: the ONNX file.
        device: this machine.
        bundle: the bundle that contains it, or None for caches beside the graph.
        profile: range of its shapes, or None.
    """
    digest = sha256_of(graph)[:16]
    home, part = (bundle, graph.parent.name) if bundle is not None else (graph.parent, digest)
    folder = provider_cache(home, device, part, key=digest)
    return _cache_options(folder) | _precision_options(graph.parent.name) | profile_options([profile] if profile is not None else [])


def _cache_options(folder: Path | None) -> Options:
    kinds = ("engine", "timing") if folder is not None else ()
    return {f"trt_{kind}_cache_enable": "1" for kind in kinds} | {f"trt_{kind}_cache_path": str(folder) for kind in kinds}


def _precision_options(precision: str) -> Options:
    fp16 = {"trt_fp16_enable": "1"} if precision in ("fp16", "int8") else {}
    return fp16 | ({"trt_int8_enable": "1"} if precision == "int8" else {})


def profile_options(profiles: Sequence[Mapping[str, Sequence[Sequence[int]]]]) -> Options:
    """One range of shapes that holds all profiles of a graph, with the usual shape of the first, as the TensorRT provider reads it."""
    if not profiles:
        return {}
    ranges = {}
    for name, (_, usual, _) in profiles[0].items():
        smallest = [min(sizes) for sizes in zip(*(profile[name][0] for profile in profiles), strict=True)]
        largest = [max(sizes) for sizes in zip(*(profile[name][2] for profile in profiles), strict=True)]
        ranges[name] = (smallest, list(usual), largest)
    return {
        f"trt_profile_{kind}_shapes": ",".join(f"{name}:{'x'.join(map(str, shapes[number]))}" for name, shapes in ranges.items())
        for number, kind in enumerate(("min", "opt", "max"))
    }


def provider_cache(home: Path, device: Device, part: str, *, key: str) -> Path | None:
    """The folder for engines of the TensorRT provider, made if it is missing.

    Args:
        home: a bundle, or the folder of a graph.
        device: this machine.
        part: name of the folder of a precision or a graph.
        key: name of the folder in the user's cache folder that stands for `home` if that cannot be written.

    Returns:
        The folder. If the user's cache folder cannot be written either, it is None, and one message says so.
    """
    version = next((found for name in ("onnxruntime-gpu", "onnxruntime") if (found := _version(name))), "unknown")
    place = Path("engines") / f"{device.name}-ort{version}" / part
    if os.access(home, os.W_OK):
        with suppress(OSError):
            return _made(home / place)
    try:
        folder = _made(user_cache_path("wsra") / key / place)
    except OSError:
        _say_once(f"{home}: cannot be written, nor can the user's cache folder: the TensorRT provider builds its engines at every start")
        return None
    _say_once(f"{home}: cannot be written; the engines of the TensorRT provider are kept in {folder}")
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _say_once(message: str) -> None:
    logger.info(message)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
