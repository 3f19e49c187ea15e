"""Options of ONNX Runtime's GPU providers, and where the TensorRT provider keeps what it builds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from platformdirs import user_cache_path

from wsra.runtime.device import Device
from wsra.runtime.formats.bundle import GOLDEN, Bundle

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
    cache = str(provider_cache(bundle, device, precision))
    options = {f"trt_{kind}_cache_enable": "1" for kind in ("engine", "timing")}
    options |= {f"trt_{kind}_cache_path": cache for kind in ("engine", "timing")}
    if precision in ("fp16", "int8"):
        options["trt_fp16_enable"] = "1"
    if precision == "int8":
        options["trt_int8_enable"] = "1"
    return options | profile_options(bundle.manifest.profiles.get(graph, []))


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


def provider_cache(bundle: Bundle, device: Device, precision: str) -> Path:
    """The folder for engines of the TensorRT provider, made if it is missing.

    It lies in the bundle, or if that cannot be written, in the user's cache folder.
    """
    version = next((found for name in ("onnxruntime-gpu", "onnxruntime") if (found := _version(name))), "unknown")
    place = Path("engines") / f"{device.name}-ort{version}" / precision
    folder = bundle.folder / place
    if not os.access(bundle.folder, os.W_OK):
        folder = user_cache_path("wsra") / bundle.manifest.files.get(GOLDEN, "bundle")[:16] / place
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
