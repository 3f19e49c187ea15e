"""HDF5 files: links, external storage, virtual data sets, odd types and shapes, attributes and names."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NAMES = ("..", "a..", "-o", "\x1b[31mred", "[/red]", "\u202ex", "a\nb", " ", "é" * 100, "x" * 250, "字" * 90, "con", "a.feat", ".hidden")


def plain(array: Array, *, name: str = "a") -> bytes:
    """One data set."""
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset(name, data=array)
    return file.getvalue()


def written(rng: Random, path: Path, array: Array) -> tuple[str, bool]:
    """Write an odd file; what it is, and whether it reaches for another file."""
    import h5py

    secret = path.parent / "secret.bin"
    secret.write_bytes(array.tobytes())
    chosen = rng.randrange(14)
    with h5py.File(path, "w") as file:
        if chosen == 0:
            place = rng.choice((str(secret), "secret.bin", "/etc/passwd"))
            file.create_dataset("a", (10, 4), "<f4", external=[(place, 0, 160)])
            return f"stored in {place}", True
        if chosen == 1:
            with h5py.File(path.with_name("other.h5"), "w") as other:
                other.create_dataset("a", data=array)
            file["a"] = h5py.ExternalLink(rng.choice(("other.h5", str(path.with_name("other.h5")), "missing.h5")), "a")
            return "an external link", True
        if chosen == 2:
            layout = h5py.VirtualLayout((10, 4), "<f4")
            layout[:] = h5py.VirtualSource("other.h5", "a", (10, 4))
            with h5py.File(path.with_name("other.h5"), "w") as other:
                other.create_dataset("a", data=array)
            file.create_virtual_dataset("a", layout)
            return "a virtual data set", True
        what = _inside(rng, file, array, chosen)
    return what, False


def _inside(rng: Random, file: Any, array: Array, chosen: int) -> str:
    import h5py

    if chosen == 3:
        file["a"] = h5py.SoftLink(rng.choice(("/a", "/missing", "/b", "/")))
        file["b"] = h5py.SoftLink("/a")
        return "soft links in a ring or into nothing"
    if chosen == 4:
        group = file.create_group("g")
        group["again"] = group
        group.create_dataset("a", data=array)
        return "a group that holds itself"
    if chosen in (5, 6):
        shape = rng.choice(((10**12, 4), (10**9, 4), (2**62, 1), (0, 4), (4,), (), (2, 3, 4), (10, 0)))
        file.create_dataset("a", shape, "<f4", chunks=True if 0 not in shape and shape else None)
        return f"a data set of shape {shape} without data"
    if chosen in (7, 8):
        name, dtype = rng.choice(
            (
                ("string", h5py.string_dtype()),
                ("compound", np.dtype([("x", "<f4"), ("y", "<i4")])),
                ("vlen", h5py.vlen_dtype("<f4")),
                ("enum", h5py.enum_dtype({"a": 1})),
                ("reference", h5py.ref_dtype),
                ("bool", np.dtype("?")),
                ("complex", np.dtype("<c8")),
                ("half", np.dtype("<f2")),
                ("opaque", np.dtype("V8")),
                ("large", np.dtype("<f8")),
            )
        )
        file.create_dataset("a", (3, 4), dtype)
        return f"a data set of {name}"
    if chosen == 9:
        file.create_dataset("a", data=array, chunks=(1, 4), compression="gzip", shuffle=True, fletcher32=True)
        return "filters"
    if chosen == 10:
        group = file
        for _ in range(rng.choice((50, 800))):
            group = group.create_group("g")
        group.create_dataset("a", data=array)
        return "many groups deep"
    if chosen == 11:
        for number in range(300):
            file.create_dataset(f"a{number}", data=array)
        return "300 data sets"
    if chosen == 12:
        name = rng.choice(NAMES)
        file.create_dataset(name, data=array)
        file[name].attrs["x"] = rng.choice(("\x1b[31m", np.zeros(100), 1))
        return f"a data set {name[:20]!r}"
    file["t"] = np.dtype("<f4")
    file.create_dataset("a", data=h5py.Empty("<f4"))
    return "an empty data set and a named type"


def published(rng: Random, path: Path, array: Array) -> tuple[str, bool]:
    """A file of many videos with odd names, one of them perhaps as `written` makes it."""
    import h5py

    if rng.random() < 0.4:
        return written(rng, path, array)
    name = rng.choice(NAMES)
    with h5py.File(path, "w") as file:
        file.create_dataset("v1", data=array)
        file.create_dataset(name, data=array)
    return f"a video {name[:20]!r}", name == ".."
