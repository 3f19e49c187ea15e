"""Feature tensors in .pt files, read without running what a pickle may carry."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError


def array_from_pt(path: Path, key: str | None) -> NDArray[Any]:
    """Read a tensor, or one of a dictionary of tensors (`key` where it holds several), weights only.

    Raises:
        FeatureError: the file cannot be read, holds anything but tensors, or `key` is missing or needed.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise FeatureError(f"{path}: not a file of tensors alone ({reason[:120]}); save the features with torch.save(tensor)") from err
    tensors = loaded if isinstance(loaded, dict) else {"": loaded}
    if not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise FeatureError(f"{path}: holds other things than tensors; save the features with torch.save(tensor)")
    if key is None and len(tensors) != 1:
        raise FeatureError(f"{path}: holds {len(tensors)} tensors ({', '.join(sorted(map(str, tensors))[:8])}); choose one with --key")
    if key is not None and key not in tensors:
        raise FeatureError(f"{path}: no {key!r} in it; it holds {', '.join(sorted(map(str, tensors))[:8])}")
    tensor = tensors[key] if key is not None else next(iter(tensors.values()))
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return np.asarray(tensor.detach().numpy())
