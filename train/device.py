"""The device on which training runs, and its precision."""

from __future__ import annotations

import torch

from wsra.runtime.errors import ConfigError
from wsra.train.config import Training


def choose_device(training: Training) -> torch.device:
    """Choose the device of `training.device`; "auto" takes a CUDA GPU if there is one.

    Raises:
        ConfigError: the setting is "cuda" and torch finds no CUDA GPU.
    """
    there = torch.cuda.is_available()
    if training.device == "cuda" and not there:
        raise ConfigError(
            f"training.device is 'cuda', but torch {torch.__version__} finds no CUDA GPU; set training.device=cpu, or install the CUDA"
            " driver and a torch built for CUDA"
        )
    return torch.device("cuda" if there and training.device != "cpu" else "cpu")


def autocast(training: Training, device: torch.device) -> torch.autocast:
    """A context that multiplies matrices in bfloat16, on a CUDA GPU if `training.autocast` is set; it has no effect on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training.autocast and device.type == "cuda")
