"""Features that other tools stored, as .feat files: NumPy and HDF5."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError, MissingExtraError
from wsra.runtime.features import Features


def array_from_file(path: Path, key: str | None) -> NDArray[Any]:
    """Read an array from a file, by its suffix.

    Args:
        path: .npy, .npz, .h5, .hdf5 or .pt.
        key: which array, where the file holds several.

    Raises:
        FeatureError: the file cannot be read.
        MissingExtraError: the library for its format is not installed.
    """
    if not path.is_file():
        raise FeatureError(f"{path}: no such file; expected .npy, .npz, .h5, .hdf5 or .pt")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return array_from_numpy(path, key)
    if suffix in (".h5", ".hdf5"):
        return array_from_hdf5(path, key)
    if suffix == ".pt":
        try:
            from wsra.train.torchfile import array_from_pt
        except ImportError as err:
            raise MissingExtraError("torch", "train", f"reading {path}") from err
        return array_from_pt(path, key)
    raise FeatureError(f"{path}: suffix {suffix or '(none)'}; expected .npy, .npz, .h5, .hdf5 or .pt")


def features_from_array(array: NDArray[Any], *, video: str, snippet_s: float, backbone: str) -> Features:
    """Give times to a bare array: snippet k lasts from k to k + 1 times `snippet_s`.

    Args:
        array: (T, D), any real dtype; float16 stays, everything else becomes float32.
        video: name of the video.
        snippet_s: length of a snippet in seconds.
        backbone: what made the features.

    Raises:
        FeatureError: the array is not of numbers, not two-dimensional, or holds NaN or infinite values.
    """
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise FeatureError(f"{video}: an array of {array.dtype}; expected real numbers (snippets, width)")
    if array.ndim != 2:
        raise FeatureError(f"{video}: an array of shape {array.shape}; expected (snippets, width)")
    with np.errstate(over="ignore"):
        values = array if array.dtype == np.float16 else array.astype(np.float32)
    starts = np.arange(len(values), dtype=np.float64) * snippet_s
    times = np.stack([starts, starts + snippet_s], axis=1)
    return Features(values, times, video, len(values) * snippet_s, backbone, {"snippet_s": f"{snippet_s:g}"})


def array_from_numpy(path: Path, key: str | None) -> NDArray[Any]:
    """Read .npy, or one array of .npz (`key` where it holds several).

    Raises:
        FeatureError: the file cannot be read, or `key` is missing or needed.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else np.asarray(loaded[_one_of(path, list(loaded.files), key)])
    except FeatureError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        raise FeatureError(f"{path}: not a readable NumPy file ({err}); it may be truncated or hold Python objects") from err


def array_from_hdf5(path: Path, key: str | None) -> NDArray[Any]:
    """Read one data set of an HDF5 file (`key` where it holds several).

    Raises:
        FeatureError: the file cannot be read, or `key` is missing or needed.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as err:
        raise MissingExtraError("h5py", "convert", f"reading {path}") from err
    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            return np.asarray(file[_one_of(path, names, key)])
    except OSError as err:
        raise FeatureError(f"{path}: not a readable HDF5 file ({err}); it may be truncated or foreign") from err


def _one_of(path: Path, names: list[str], key: str | None) -> str:
    if key is not None:
        if key not in names:
            raise FeatureError(f"{path}: no {key!r} in it; it holds {', '.join(sorted(names)[:8]) or 'nothing'}")
        return key
    if len(names) != 1:
        raise FeatureError(f"{path}: holds {len(names)} arrays ({', '.join(sorted(names)[:8])}); choose one with --key")
    return names[0]
