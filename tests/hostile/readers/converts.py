"""`wsra convert`: NumPy, HDF5 and PyTorch files of other tools."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from hostile.cases import Damage, Reader
from hostile.materials import Materials
from hostile.mutate import hdf5s, raw
from wsra.runtime.conversion.convert import array_from_file, features_from_array
from wsra.runtime.formats.features import read_features, write_features

ARRAY = np.arange(40, dtype=np.float32).reshape(10, 4) / 7


class Converting(Reader):
    """One suffix."""

    suffix: ClassVar[str]

    def lay(self, place: Path) -> None:
        (place / f"a{self.suffix}").write_bytes(self.seed())

    def seed(self) -> bytes:
        """A valid file."""
        raise NotImplementedError

    def made(self, place: Path) -> frozenset[str]:
        return frozenset({"out.feat"})

    def read(self, place: Path) -> Any:
        array = array_from_file(place / f"a{self.suffix}", None)
        write_features(place / "out.feat", features_from_array(array, video="v", snippet_s=1.0, backbone="converted"))
        features = read_features(place / "out.feat")
        features.check_finite()
        return features.values.shape


class NpyReader(Converting):
    """.npy: bytes, and the header's type, order and shape."""

    name, suffix = "convert .npy", ".npy"

    def seed(self) -> bytes:
        return npy(ARRAY)

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "a.npy"
        data, what = raw.damaged(rng, path.read_bytes()) if rng.random() < 0.5 else header_damaged(rng, path.read_bytes())
        path.write_bytes(data)
        return Damage(what)


class NpzReader(Converting):
    """.npz: bytes, members with absurd headers, names of members, compressed zeros."""

    name, suffix = "convert .npz", ".npz"

    def seed(self) -> bytes:
        return npz({"a.npy": npy(ARRAY)})

    def damage(self, rng: Random, place: Path) -> Damage:
        path, chosen = place / "a.npz", rng.randrange(6)
        if chosen <= 2:
            data, what = raw.damaged(rng, path.read_bytes())
        elif chosen == 3:
            content, what = header_damaged(rng, npy(ARRAY))
            data = npz({"a.npy": content})
        elif chosen == 4:
            name = rng.choice(("../a.npy", "/a.npy", "a", "a.npy\0x", "\x1b[31m.npy", "", "a.npy/", "x" * 3000))
            data, what = npz({name: npy(ARRAY)}), f"a member {name[:20]!r}"
        else:
            rows = rng.choice((10, 10**5, 10**6))
            data, what = npz({"a.npy": npy(np.zeros((rows, 4), np.float32))}), f"{rows} compressed rows"
        path.write_bytes(data)
        return Damage(what)


class PtReader(Converting):
    """.pt: bytes, other objects, pickles that would run code."""

    name, suffix = "convert .pt", ".pt"

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials)
        import torch

        self._tensor = torch.from_numpy(ARRAY)

    def seed(self) -> bytes:
        return self._saved(self._tensor)

    @staticmethod
    def _saved(value: Any, **options: Any) -> bytes:
        import torch

        file = io.BytesIO()
        torch.save(value, file, **options)
        return file.getvalue()

    def damage(self, rng: Random, place: Path) -> Damage:
        import torch

        path, chosen, expect = place / "a.pt", rng.randrange(8), "any"
        if chosen <= 4:
            old = rng.random() < 0.3
            data, what = raw.damaged(rng, self._saved(self._tensor, _use_new_zipfile_serialization=not old))
        elif chosen == 5:
            value: Any = rng.choice(
                (
                    None,
                    {},
                    [],
                    {"a": 1},
                    {1: self._tensor},
                    {"a": self._tensor, "b": self._tensor},
                    self._tensor.to_sparse(),
                    self._tensor.to(torch.complex64),
                    self._tensor.bool(),
                    torch.empty(0),
                    torch.zeros(10**6, 1).expand(10**6, 4000),
                    self._tensor.to(torch.bfloat16),
                    torch.quantize_per_tensor(self._tensor, 0.1, 0, torch.qint8),
                    torch.empty(3, 4, device="meta"),
                    {"\x1b[31m": self._tensor, "[/red]": self._tensor},
                )
            )
            data, what = self._saved(value), f"holds {type(value).__name__}"
        elif chosen == 6:
            data, what, expect = self._saved({"a": _Runs(place)}), "a pickle that runs code", "refused"
        else:
            content, what = header_damaged(rng, npy(ARRAY))
            data, what = content, f"an .npy named .pt; {what}"
        path.write_bytes(data)
        return Damage(what, expect)  # type: ignore[arg-type]


class _Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._place / "ran"),)


class Hdf5Reader(Converting):
    """.h5: bytes, links, data outside the file, types, absurd shapes."""

    name, suffix = "convert .h5", ".h5"

    def seed(self) -> bytes:
        return hdf5s.plain(ARRAY)

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "a.h5"
        if rng.random() < 0.5:
            data, what = raw.damaged(rng, path.read_bytes())
            path.write_bytes(data)
            return Damage(what)
        path.unlink()
        what, reaches = hdf5s.written(rng, path, ARRAY)
        return Damage(what, "refused" if reaches else "any")


class PublishedReader(Converting):
    """`wsra convert --layout`: names of data sets become names of files."""

    name, suffix = "convert --layout", ".h5"

    def seed(self) -> bytes:
        return hdf5s.plain(ARRAY, name="v1")

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "a.h5"
        path.unlink()
        what, reaches = hdf5s.published(rng, path, ARRAY)
        return Damage(what, "refused" if reaches else "any")

    def read(self, place: Path) -> Any:
        from wsra.runtime.conversion.published import Published, convert_all

        (place / "out").mkdir()
        done = convert_all(Published(place / "a.h5", "charades-i3d", None, {}, 1.0), place / "out", overwrite=False)
        return done.written

    def made(self, place: Path) -> frozenset[str]:
        out = {f"out/{path.name}" for path in (place / "out").glob("*.feat")} if (place / "out").is_dir() else set()
        return frozenset({"out", *out})


def npy(array: np.ndarray[Any, Any]) -> bytes:
    """As np.save writes it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(members: dict[str, bytes]) -> bytes:
    """A compressed archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo("a.npy")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return file.getvalue()


def header_damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Another type, order or shape in the header of an .npy file."""
    types = ("<f4", ">f4", "<f2", "<f8", "<i8", "|O", "<U10", "<c8", "|b1", "<M8[s]", "|V16", "<f16", "[('a', '<f4')]", "x")
    shapes = (
        "(10, 4)",
        "(4, 10)",
        "(1000000000, 4)",
        "(10000000000000, 4)",
        "(-1, 4)",
        "(0, 4)",
        "(10, 0)",
        "()",
        "(40,)",
        "(1,)*70",
        "(2**62,)",
    )
    kind, shape, order = rng.choice((types[0], rng.choice(types))), rng.choice((shapes[0], rng.choice(shapes))), rng.choice((True, False))
    descr = kind if kind.startswith("[") else repr(kind)
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        header = rng.choice(("(" * 9_000, "{" * 9_000, "-" * 9_000 + "1", "'" + "x" * 9_000, "__import__('os').mkdir('ran')"))
    padded = (header + " " * (-(len(header) + 11) % 64) + "\n").encode()
    start = 10 + int.from_bytes(data[8:10], "little")
    return data[:8] + (len(padded) % 65_536).to_bytes(2, "little") + padded + data[start:], f"header {header[:80]}"
