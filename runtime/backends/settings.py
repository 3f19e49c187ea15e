"""How a bundle or a graph runs, and how it ran. Settings are made where a command or a Python caller gives them, and passed on whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Provider = Literal["cpu", "cuda", "tensorrt", "engine"]
ProviderName = Literal["auto", "cpu", "cuda", "tensorrt", "engine"]
KernelName = Literal["auto", "numba", "numpy", "graph"]


@dataclass(frozen=True)
class RunSettings:
    """How a bundle runs.

    Attributes:
        precision: "auto" for the fastest that `wsra verify` passed on this device, or one of the bundle's; `Bundle.check` refuses others.
        provider: "auto", "cpu", "cuda" or "tensorrt" (ONNX Runtime's), or "engine" (plans of `wsra build`).
        threads: of ONNX Runtime on the CPU, where 0 lets it decide, and of the kernel, where 0 takes every core.
        allow_fallback: run on the CPU where the provider is not available, instead of refusing.
        kernel: what scores snippets: "numba" (extra `fast`), "numpy", "graph" or "auto"; see `open_kernel`.
        device: number of the GPU, from 0, among the visible ones.
        decoder: what decodes videos whose features are made; see `open_video`.
    """

    precision: str = "auto"
    provider: ProviderName = "auto"
    threads: int = 0
    allow_fallback: bool = False
    kernel: KernelName = "auto"
    device: int = 0
    decoder: str = "cpu"


DEFAULT = RunSettings()


def decodes_on_nvidia(decoder: str) -> bool:
    """Whether a decoder (see `open_video`) is that of an NVIDIA GPU: "cuda", or "cuda:1"."""
    return decoder.partition(":")[0] == "cuda"


@dataclass(frozen=True)
class GraphSettings:
    """How a graph that belongs to no route runs, an encoder's or a detector's.

    Attributes:
        provider: "cpu", "cuda" or "tensorrt" of ONNX Runtime, or "engine" for the plan that `wsra build` built from the graph.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        allow_fallback: run on the CPU, with a message, where the provider is not available or no plan fits, instead of refusing.
        gpu: number of the GPU, from 0, among the visible ones.
        bundle: folder of the bundle that contains the graph, in whose `engines` its plan is, and what ONNX Runtime's TensorRT keeps; None
            for a plan and a folder `engines` beside the graph.
    """

    provider: Provider = "cpu"
    threads: int = 0
    allow_fallback: bool = False
    gpu: int = 0
    bundle: Path | None = None


ON_CPU = GraphSettings()


@dataclass(frozen=True)
class RunInfo:
    """How a bundle really ran.

    Attributes:
        bundle: its folder.
        precision: of the graphs.
        provider: what ran them.
        device: "cpu", or the name of the GPU.
        kernel: what scored snippets.
    """

    bundle: Path
    precision: str
    provider: str
    device: str
    kernel: str
