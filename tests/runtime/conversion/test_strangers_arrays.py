"""Arrays that somebody else stored: nothing outside their file is read, no more memory is taken than the file can fill, one line each."""

from __future__ import annotations

import random
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsra.runtime.conversion.convert import array_from_file
from wsra.runtime.conversion.published import Layout, Published, convert_all
from wsra.runtime.errors import FeatureError, WsraError

h5py: Any = pytest.importorskip("h5py")
ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)
SECRET = b"nobody may read this sentence, whatever a file of features says "


def external(file: Any, secret: Path) -> None:
    file.create_dataset("v", (4, 4), "u1", external=[(str(secret), 0, 16)])


def virtual(file: Any, secret: Path) -> None:
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = ARRAY
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", (4, 3))
    file.create_virtual_dataset("v", layout)


def external_link(file: Any, secret: Path) -> None:
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = ARRAY
    file["v"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "x")


def soft_link(file: Any, secret: Path) -> None:
    file["there"] = ARRAY
    file["v"] = h5py.SoftLink("/there")


@pytest.mark.parametrize("make", [external, virtual, external_link, soft_link])
@pytest.mark.parametrize("layout", [None, "charades-i3d"])
def test_hdf5_reads_nothing_that_it_does_not_hold(make: Callable[[Any, Path], None], layout: Layout | None, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file, secret)
    with pytest.raises(FeatureError) as error:
        if layout is None:
            array_from_file(tmp_path / "a.h5", "v")
        else:
            convert_all(Published(tmp_path / "a.h5", layout, None, {}, 1.0), tmp_path / "out", overwrite=False)
    message = str(error.value)
    assert "in other files, which are not read" in message or "is a link, which is not followed" in message or "no 'v' in it" in message
    assert "\n" not in message and not list((tmp_path / "out").glob("v*"))


def test_links_within_a_group_are_not_followed_either(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["real/c3d_features"] = ARRAY
        file["v"] = h5py.SoftLink("/real")
    with pytest.raises(FeatureError, match="v/c3d_features is a link"):
        convert_all(Published(tmp_path / "a.h5", "activitynet-c3d", None, {}, 1.0), tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("name", ["..", "a\\b", "x" * 252])
def test_a_name_of_a_video_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if name == "..":  # HDF5 makes no such name; a folder does
        source.mkdir()
        np.save(source / "...npy", ARRAY)
    else:
        with h5py.File(source, "w") as file:
            file[name] = ARRAY
    with pytest.raises(FeatureError, match="which cannot name a file; expected a name of at most 250 bytes, without / and"):
        convert_all(Published(source, "charades-i3d", None, {}, 1.0), tmp_path / "out", overwrite=False)
    assert not (tmp_path / "out").exists()


def huge(file: Any) -> None:
    file.create_dataset("v", (10**6, 10**6), "f4", chunks=(1000, 1000), fillvalue=1.0)  # a kilobyte of file


def objects(file: Any) -> None:
    file.create_dataset("v", (2,), h5py.vlen_dtype("f4"))


def strings(file: Any) -> None:
    file["v"] = np.array([[b"abc"]])


def nothing(file: Any) -> None:
    file["v"] = h5py.Empty("f4")


def scalar(file: Any) -> None:
    file["v"] = 1.0


@pytest.mark.parametrize("make", [huge, objects, strings, nothing, scalar])
@pytest.mark.parametrize("layout", [None, "didemo", "charades-i3d"])
def test_hdf5_of_other_things_is_one_line(make: Callable[[Any], None], layout: Layout | None, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with pytest.raises(FeatureError) as error:
        if layout is None:
            array = array_from_file(tmp_path / "a.h5", "v")
            assert array.ndim == 0
            raise FeatureError("a number")  # judged later, by its axes
        times: dict[str, Any] = {} if layout == "didemo" else {"v": 4.0}
        convert_all(Published(tmp_path / "a.h5", layout, None, times, None), tmp_path / "out", overwrite=False)
    assert "\n" not in str(error.value)


def npy(shape: tuple[int, ...], dtype: str = "<f4", data: bytes = ARRAY.tobytes()) -> bytes:
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy((10**12, 3)), "bytes in a file of 176; it may be damaged"),
        (npy((4, 4)), "bytes in a file of 176|not a readable NumPy file"),
        (npy((-4, 3)), "in a file of 176"),
        (npy((4, 3), "|O"), "an array of object, perhaps of Python objects"),
        (npy((4, 3), "<U1"), "an array of <U1"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a readable NumPy file"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "not a readable NumPy file"),
        (b"PK\x03\x04", "not a readable NumPy file"),
    ],
)
def test_npy_that_says_more_than_it_holds(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(FeatureError, match=message):
        array_from_file(tmp_path / "a.npy", None)
    if content[:2] != b"PK":
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("v.npy", content)
        with pytest.raises(FeatureError, match=r"it may be damaged|not a readable NumPy file|an array of"):
            array_from_file(tmp_path / "a.npz", None)


def test_a_pt_file_that_unpacks_to_more_than_it_is(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.zeros(1 << 20), tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as plain, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in plain.namelist():
            packed.writestr(member, plain.read(member))
    with pytest.raises(FeatureError, match="4194304 bytes in a file of"):
        array_from_file(tmp_path / "b.pt", None)
    torch.save(torch.zeros(1).expand(1 << 30, 4), tmp_path / "c.pt")
    with pytest.raises(FeatureError, match="4294967296 bytes in a file of"):
        array_from_file(tmp_path / "c.pt", None)
    for odd in (torch.zeros(2, 2).to_sparse(), torch.zeros(2, 2, dtype=torch.float8_e4m3fn), torch.zeros(2, 2, device="meta")):
        torch.save(odd, tmp_path / "d.pt")
        with pytest.raises(FeatureError):
            array_from_file(tmp_path / "d.pt", None)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".pt"])
def test_whatever_a_library_raises_is_one_line(suffix: str, tmp_path: Path) -> None:
    """A few hundred mutations of a good file; the harness has thousands."""
    path, rng = tmp_path / f"a{suffix}", random.Random(suffix)
    if suffix == ".npy":
        np.save(path, ARRAY)
    elif suffix == ".npz":
        np.savez_compressed(path, v=ARRAY)
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("v", data=ARRAY, chunks=(2, 3), compression="gzip")
    else:
        pytest.importorskip("torch").save({"v": pytest.importorskip("torch").from_numpy(ARRAY)}, path)
    good = path.read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(good)
        for _ in range(rng.choice((1, 1, 4))):
            place = rng.randrange(len(good) - 8)
            damaged[place : place + 8] = rng.choice((rng.randbytes(8), b"\xff" * 8, b"\0" * 8, struct.pack("<q", 1 << 40), b"../../x\0"))
        path.write_bytes(damaged[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
        try:
            array_from_file(path, "v" if suffix != ".npy" else None)
        except WsraError as err:
            refused += 1
            assert "\n" not in str(err)
    assert refused > 20
