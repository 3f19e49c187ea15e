"""Limits beyond which a file counts as damaged or hostile; they are checked before memory is allocated."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.errors import FeatureError

MOST_S = 10 * 365.25 * 86_400  # ten years; the limit for a video, a time in it and a true span
LEAST_S = 1e-3  # the shortest video
PIXELS = 40_000_000  # of a picture as decoded and as displayed; 8K has 35 million
ASPECT = 32  # longest side of a displayed picture over the shortest; four cameras side by side make 7
WINDOWS = 1_000  # true spans per query
WINDOWED_S = 5_000_000.0  # total length of the videos for which an evaluation of predictions ranks all windows of whole seconds
MOST_BYTES = 32 << 30  # of one array; enough for a year of snippets of 251 numbers
INFLATION = 1100  # bytes of an array per byte of its file; deflate reaches 1,032 at most


def check_array(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, inflation: int = INFLATION) -> None:
    """Refuse an array that does not hold numbers, or that its file cannot hold.

    Args:
        path: the file.
        name: name of the array in the file, or "".
        shape: shape according to the file.
        dtype: dtype according to the file.
        inflation: the most bytes of an array per byte of its file; 1 if nothing is compressed.

    Raises:
        FeatureError: the array is refused.
    """
    what = f"{path}: {name} is" if name else f"{path}:"
    if dtype.hasobject or dtype.kind not in "fiub":
        raise FeatureError(f"{what} an array of {dtype}, perhaps of Python objects; expected real numbers (snippets, width)")
    size, file_size = prod(shape) * dtype.itemsize, path.stat().st_size
    if size > min(MOST_BYTES, file_size * inflation) or min(shape, default=0) < 0:
        raise FeatureError(f"{what} an array of {shape} {dtype}, {size} bytes in a file of {file_size}; it may be damaged: make it again")
