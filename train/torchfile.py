"""Reads feature tensors from .pt files, without running code that a pickle may contain."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.limits import check_array


def array_from_pt(path: Path, key: str | None) -> NDArray[Any]:
    """Read a tensor, or one of a dictionary of tensors (`key` is needed if there are several), with `weights_only`.

    Raises:
        FeatureError: the file cannot be read, holds anything but tensors, lacks `key`, or needs one.
    """
    try:
        if zipfile.is_zipfile(path):  # torch.save compresses nothing
            with zipfile.ZipFile(path) as members:
                for member in members.infolist():
                    check_array(path, member.filename, (member.file_size,), np.dtype(np.uint8), inflation=1)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FeatureError:
        raise
    except Exception as err:  # torch, pickle and zipfile raise a dozen kinds on a damaged file
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise FeatureError(f"{path}: not a file of tensors only ({reason[:120]}); save the features with torch.save(tensor)") from err
    tensors = loaded if isinstance(loaded, dict) else {"": loaded}
    if not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise FeatureError(f"{path}: holds something other than tensors; save the features with torch.save(tensor)")
    if key is None and len(tensors) != 1:
        raise FeatureError(f"{path}: holds {len(tensors)} tensors ({', '.join(sorted(map(str, tensors))[:8])}); choose one with --key")
    if key is not None and key not in tensors:
        raise FeatureError(f"{path}: no {key!r} in it; it holds {', '.join(sorted(map(str, tensors))[:8])}")
    tensor = tensors[key] if key is not None else next(iter(tensors.values()))
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise FeatureError(f"{path}: the tensor is {tensor.layout} on {tensor.device}; save the features as a dense tensor on the CPU")
    check_array(path, key or "", tuple(tensor.shape), np.dtype(np.uint8), inflation=1)
    try:
        return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy())
    except (RuntimeError, TypeError) as err:  # a dtype that NumPy lacks
        raise FeatureError(f"{path}: the tensor has dtype {tensor.dtype}, which NumPy lacks; save the features as float32") from err
