"""For which GPUs TensorRT-RTX compiles: the one that is here, or without one, every generation from Ampere on (a portable plan)."""

from __future__ import annotations

from typing import Any

# NVIDIA, "CPU-Only AOT and TensorRT-RTX Engines": by default an engine runs on compute capability 8.0, 8.6, 8.9, 12.0 and later. They are
# named all the same, so that a change of the default changes no plan.
PORTABLE = ("SM80", "SM86", "SM89", "SM120")


def set_targets(trt: Any, config: Any, *, on_gpu: bool) -> None:
    """Name the compute capabilities in a builder configuration. TensorRT always builds for the GPU that is here.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        config: of the build.
        on_gpu: whether there is a GPU.
    """
    if not hasattr(trt, "ComputeCapability"):
        return
    names = ("CURRENT",) if on_gpu else PORTABLE
    config.num_compute_capabilities = len(names)
    for number, name in enumerate(names):
        config.set_compute_capability(getattr(trt.ComputeCapability, name), number)
