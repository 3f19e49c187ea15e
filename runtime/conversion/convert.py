"""Conversion of one array from another tool (NumPy, HDF5, PyTorch) into features."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.conversion.hdf5 import dataset_names, hdf5, read_dataset
from wsra.runtime.errors import FeatureError, MissingExtraError
from wsra.runtime.files.limits import INFLATION, check_array
from wsra.runtime.formats.features import Features

_ZIP = b"PK"  # the first bytes of an .npz


def array_from_file(path: Path, key: str | None) -> NDArray[Any]:
    """Read an array from a file, by its suffix.

    Args:
        path: .npy, .npz, .h5, .hdf5 or .pt.
        key: name of the array, if the file holds several.

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
    """Add times to an array: snippet k lasts from k * snippet_s to (k + 1) * snippet_s.

    Args:
        array: (T, D) of any real dtype; float16 is kept, everything else becomes float32.
        video: name of the video.
        snippet_s: length of a snippet in seconds.
        backbone: id of what made the features.

    Raises:
        FeatureError: the array does not hold numbers, is not two-dimensional, or has NaN or infinite values.
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
    """Read .npy, or one array of .npz (`key` if it holds several).

    Raises:
        FeatureError: the file cannot be read, has no numbers or fewer than its header says, or `key` is wrong or missing.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            if not zipped:
                return _array(path, file, "", inflation=1)
            with zipfile.ZipFile(file) as members:
                names = {name.removesuffix(".npy"): name for name in members.namelist()}
                name = _one_of(path, list(names), key)
                with members.open(names[name]) as member:
                    return _array(path, member, name, inflation=INFLATION)
    except FeatureError:
        raise
    except Exception as err:  # NumPy, zipfile and zlib raise a dozen kinds for damaged files, including MemoryError and struct.error
        reason = " ".join(str(err).split())[:120] or type(err).__name__
        raise FeatureError(f"{path}: not a readable NumPy file ({reason}); it may be truncated or hold Python objects") from err


def _array(path: Path, file: IO[bytes], name: str, *, inflation: int) -> NDArray[Any]:
    """An array in NumPy's own format, once its header fits the size of its file."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    check_array(path, name, shape, dtype, inflation=inflation)
    file.seek(0)
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def array_from_hdf5(path: Path, key: str | None) -> NDArray[Any]:
    """Read one data set of an HDF5 file (`key` if it holds several).

    Raises:
        FeatureError: the file cannot be read, or `key` is wrong or missing.
        MissingExtraError: h5py is not installed.
    """
    with hdf5(path) as file:
        return read_dataset(path, file, _one_of(path, dataset_names(file), key))


def _one_of(path: Path, names: list[str], key: str | None) -> str:
    if key is not None:
        if key not in names:
            raise FeatureError(f"{path}: no {key!r} in it; it holds {', '.join(sorted(names)[:8]) or 'nothing'}")
        return key
    if len(names) != 1:
        raise FeatureError(f"{path}: holds {len(names)} arrays ({', '.join(sorted(names)[:8])}); choose one with --key")
    return names[0]
