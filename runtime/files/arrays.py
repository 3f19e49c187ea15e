"""Arrays that other tools stored: judged by what their file says of them, before memory is taken."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.errors import FeatureError

MOST_BYTES = 32 << 30  # of an array; a year of snippets of 251 numbers
INFLATION = 1100  # bytes of an array for each byte of its file; deflate makes at most 1,032


def check_array(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, inflation: int = INFLATION) -> None:
    """Refuse an array that is not of numbers, or that its file cannot hold.

    Args:
        path: the file.
        name: of the array in it, or "".
        shape: that the file tells.
        dtype: that the file tells.
        inflation: bytes of an array for each byte of its file, 1 where nothing is compressed.

    Raises:
        FeatureError: it is such an array.
    """
    what = f"{path}: {name} is" if name else f"{path}:"
    if dtype.hasobject or dtype.kind not in "fiub":
        raise FeatureError(f"{what} an array of {dtype}, perhaps of Python objects; expected real numbers (snippets, width)")
    size, there = prod(shape) * dtype.itemsize, path.stat().st_size
    if size > min(MOST_BYTES, there * inflation) or min(shape, default=0) < 0:
        raise FeatureError(f"{what} an array of {shape} {dtype}, {size} bytes in a file of {there}; it may be damaged: make it again")
