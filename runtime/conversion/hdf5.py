"""HDF5 files from elsewhere; only numbers that are in the file itself are read.

HDF5 can store the numbers of a data set in any other file (external storage), compose one from other files (virtual data sets), and link
to other places inside and outside of the file (soft and external links). None of that is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError, MissingExtraError, WsraError
from wsra.runtime.files.limits import check_array


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """Open a file; whatever h5py raises while it is open becomes one line.

    Raises:
        FeatureError: the file cannot be read.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as err:
        raise MissingExtraError("h5py", "convert", f"reading {path}") from err
    if not path.is_file():
        raise FeatureError(f"{path}: no such file; expected HDF5")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except WsraError:
        raise
    except Exception as err:  # damaged files raise OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError and more
        reason = " ".join(str(err).split())[:120] or type(err).__name__
        raise FeatureError(f"{path}: not a readable HDF5 file ({reason}); it may be truncated or foreign") from err


def dataset_names(file: Any) -> list[str]:
    """Names of all data sets, including those in groups, but not links."""
    import h5py

    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)  # it follows only hard links
    return names


def read_dataset(path: Path, file: Any, name: str) -> NDArray[Any]:
    """The numbers of a data set, if they are in the file itself.

    Args:
        path: the file.
        file: the same file, open.
        name: name of the data set, with "/" between groups.

    Raises:
        FeatureError: there is no such data set, or it lies in other files, does not hold numbers, or holds more than the file can.
    """
    import h5py

    found = file
    for part in name.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) and part not in ("", ".", "..") else None
        if link is None:
            raise FeatureError(f"{path}: no data set {name}; expected another --layout, or a whole file")
        if not isinstance(link, h5py.HardLink):
            raise FeatureError(f"{path}: {name} is a link, which is not followed; store the numbers under that name")
        found = found[part]
    if not isinstance(found, h5py.Dataset):
        raise FeatureError(f"{path}: no data set {name}; expected another --layout, or a whole file")
    if found.external or found.is_virtual:
        raise FeatureError(f"{path}: {name} stores its numbers in other files, which are not read; store them in the file itself")
    if found.shape is None:
        raise FeatureError(f"{path}: {name} is empty; expected numbers (snippets, width)")
    check_array(path, name, found.shape, found.dtype)
    return np.asarray(found[()])
