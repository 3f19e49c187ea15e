"""Memory maps of files that may shrink while they are read: Linux then sends SIGBUS, which would end the process without a message.

The first map installs a handler for that signal. If the fault lies in a map of this module, the handler replaces the lost pages by empty
ones, so that the reader continues, and marks the map as broken: `intact` discards what was computed from it, and `is_broken` reports a map
that stays open. The handler passes any other fault to the one that was installed before.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError

_SIGBUS, _SA_SIGINFO, _MAP_FIXED = 7, 4, 16
_ADDRESS_AT = 16  # bytes into siginfo_t, with 64-bit pointers


class _Action(ctypes.Structure):
    """`struct sigaction` of glibc on x86-64 and aarch64."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Region:
    """A map: its file, its first page, the end of its last page, and whether pages were lost."""

    def __init__(self, path: Path, address: int, length: int) -> None:
        self.path = path
        self.first = address // mmap.PAGESIZE * mmap.PAGESIZE
        self.end = -(-(address + length) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.broken = False


_regions: dict[int, _Region] = {}  # by the address of the first number
_lost: list[Path] = []  # files that shrank


def mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    """A read-only array over a part of a file.

    Args:
        path: the file.
        dtype: dtype of the numbers.
        shape: shape of the array; not empty.
        offset: bytes before the first number.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is too short.
    """
    _install_handler()
    array = np.memmap(path, dtype, "r", offset, shape)
    region = _Region(path, array.ctypes.data, array.nbytes)
    _regions[array.ctypes.data] = region
    weakref.finalize(array._mmap, _forget, array.ctypes.data, region)  # type: ignore[attr-defined]
    return array


def is_broken(array: NDArray[Any]) -> bool:
    """Whether pages of the map behind an array or a slice were lost, so that what was read since then is worthless."""
    address = array.ctypes.data
    return any(region.broken and region.first <= address < region.end for region in list(_regions.values()))


@contextmanager
def intact() -> Iterator[None]:
    """Discard the result of the block if a mapped file shrinks meanwhile.

    Raises:
        FeatureError: a file shrank.
    """
    before = len(_lost)
    yield
    if len(_lost) > before:
        raise FeatureError(f"{_lost[-1]}: was cut off while it was read; try again when nothing writes to it")


def _forget(address: int, region: _Region) -> None:
    if _regions.get(address) is region:
        del _regions[address]


@cache
def _install_handler() -> tuple[Any, ...]:
    """Install the handler once; the cache keeps alive what it needs."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    before = _Action()

    def handle(_number: int, info: int, _context: int) -> None:
        address = ctypes.c_size_t.from_address(info + _ADDRESS_AT).value
        flags = _MAP_FIXED | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        for region in list(_regions.values()):
            if region.first <= address < region.end:
                region.broken = True
                _lost.append(region.path)
                page = address // mmap.PAGESIZE * mmap.PAGESIZE
                if libc.mmap(page, region.end - page, mmap.PROT_READ, flags, -1, 0) == page:
                    return
        libc.sigaction(_SIGBUS, ctypes.byref(before), None)  # the instruction runs again, and the fault goes to the previous handler

    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t)
    callback = kind(handle)
    action = _Action(handler=ctypes.cast(callback, ctypes.c_void_p).value, flags=_SA_SIGINFO)
    libc.sigaction(_SIGBUS, ctypes.byref(action), ctypes.byref(before))
    return callback, before, libc
