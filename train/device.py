"""Where training runs, and in which precision."""

from __future__ import annotations

import torch

from wsra.runtime.errors import ConfigError
from wsra.train.config import Training


def choose_device(training: Training) -> torch.device:
    """The device that `training.device` asks for; "auto" takes a CUDA GPU where there is one.

    Raises:
        ConfigError: a CUDA GPU is asked for and torch finds none.
    """
    there = torch.cuda.is_available()
    if training.device == "cuda" and not there:
        raise ConfigError(
            f"training.device is 'cuda', but torch {torch.__version__} finds no CUDA GPU; set training.device=cpu, or install a torch"
            " for CUDA and its driver"
        )
    return torch.device("cuda" if there and training.device != "cpu" else "cpu")


def autocast(training: Training, device: torch.device) -> torch.autocast:
    """Products in bfloat16 on a CUDA GPU where `training.autocast` is set; on a CPU nothing changes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training.autocast and device.type == "cuda")
