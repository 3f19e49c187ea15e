"""safetensors files: written piece by piece with a digest of every block, opened as memory maps, checked on first access.

A file with digests has a last tensor `digests`, (1 + N, 32) uint8: SHA-256 of the header with its length, then of each block of 4 MiB of
each other tensor, in the order of the file. Any safetensors reader can open such a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.headers import read_header
from wsra.runtime.files.mapping import is_broken, mapped

BLOCK = 1 << 22  # bytes
DIGESTS = "digests"
_DIGEST_BYTES = 32
_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "bool": "BOOL",
}  # fmt: skip
_DTYPES = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}

State = tuple[int, int, int]


def state_of(path: Path) -> State:
    """Size in bytes, modification time in nanoseconds and inode, which distinguish a file from one that replaced it."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@dataclass(frozen=True)
class Pieces:
    """A tensor whose rows come piece by piece, so that it is never in memory as a whole.

    Attributes:
        dtype: dtype of the tensor.
        shape: shape of the whole tensor.
        rows: the pieces, along the first axis.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    rows: Iterable[NDArray[Any]]


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any] | Pieces], metadata: Mapping[str, str], *, digests: bool = False) -> None:
    """Write a file whose bytes depend only on its content.

    Args:
        path: a temporary file, as `replacing` provides it.
        tensors: tensors by name.
        metadata: metadata of the header.
        digests: whether to add the digest of every block.

    Raises:
        OSError: the file cannot be written.
        ValueError: the pieces of a tensor do not add up to its shape.
    """
    pieces = {name: _as_pieces(tensor) for name, tensor in tensors.items()}
    order = sorted(pieces, key=lambda name: (-pieces[name].dtype.itemsize, name))  # so that every tensor is aligned
    if digests:
        blocks = 1 + sum(-(-_bytes_of(pieces[name]) // BLOCK) for name in order)
        pieces[DIGESTS] = Pieces(np.dtype(np.uint8), (blocks, _DIGEST_BYTES), ())
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in [*order, *([DIGESTS] if digests else [])]:
        start, end = end, end + _bytes_of(pieces[name])
        table[name] = {"dtype": _NAMES[pieces[name].dtype.name], "shape": list(pieces[name].shape), "data_offsets": [start, end]}
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    header = len(text).to_bytes(8, "little") + text
    found_digests = [hashlib.sha256(header).digest()]
    with path.open("wb") as file:
        file.write(header)
        for name in order:
            written = 0
            for block in _blocks(pieces[name]):
                file.write(block)
                written += len(block)
                if digests:
                    found_digests.append(hashlib.sha256(block).digest())
            if written != _bytes_of(pieces[name]):
                raise ValueError(f"{name}: {written} bytes; expected {_bytes_of(pieces[name])} for its shape {pieces[name].shape}")
        if digests:
            file.write(b"".join(found_digests))


def _as_pieces(tensor: NDArray[Any] | Pieces) -> Pieces:
    return tensor if isinstance(tensor, Pieces) else Pieces(tensor.dtype, tensor.shape, (tensor,))


def _bytes_of(tensor: Pieces) -> int:
    return int(np.prod(tensor.shape, dtype=np.int64)) * tensor.dtype.itemsize


def _blocks(tensor: Pieces) -> Iterator[bytes | memoryview]:
    """The bytes of a tensor in blocks, whatever the size of its pieces."""
    rest = bytearray()
    for piece in tensor.rows:
        data = np.ascontiguousarray(piece, tensor.dtype).reshape(-1).view(np.uint8).data
        start = 0
        if rest:
            start = min(BLOCK - len(rest), len(data))
            rest += data[:start]
            if len(rest) == BLOCK:
                yield bytes(rest)
                rest.clear()
        while len(data) - start >= BLOCK:
            yield data[start : start + BLOCK]
            start += BLOCK
        rest += data[start:]
    if rest:
        yield bytes(rest)


@lru_cache(maxsize=4096)
def _verified_digests(path: Path, state: State) -> set[int]:
    """Numbers of the digests that this process has already verified for a file in this state."""
    return set()


@dataclass(frozen=True)
class _Entry:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int  # bytes into the file
    size: int
    block: int  # number of its first digest


class TensorFile:
    """An open file: the header is read and compared with its digest; the numbers are checked later.

    Attributes:
        path: the file.
        state: state of the file before it was opened; a file that replaces it has another state.
        metadata: metadata of the header.
        digest: SHA-256 of all digests, in hexadecimal, which identifies the whole content; None for a file without digests.

    Raises (constructor):
        FeatureError: the file is missing, foreign, truncated or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.state = state_of(path)
            header = read_header(path)
        except (SafetensorError, OSError, ValueError) as err:
            raise FeatureError(f"{path}: cannot be read ({err}); it may be truncated or foreign") from err
        self.metadata = header.metadata
        self._entries: dict[str, _Entry] = {}
        block = 1
        for name, entry in header.entries.items():
            dtype = _DTYPES.get(entry.dtype)
            if dtype is None:
                raise FeatureError(f"{path}: {name} is {entry.dtype}; expected one of {', '.join(_DTYPES)}")
            self._entries[name] = _Entry(dtype, entry.shape, entry.start, entry.size, block)
            block += -(-entry.size // BLOCK)
        self._verified = _verified_digests(path.absolute(), self.state)
        self._digests = self._read_digests(header.content)
        self.digest = hashlib.sha256(b"".join(self._digests)).hexdigest() if self._digests else None

    @property
    def names(self) -> set[str]:
        """Names of the tensors, without the digests."""
        return set(self._entries) - {DIGESTS}

    def kind(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """The dtype and shape of a tensor."""
        return self._entries[name].dtype, self._entries[name].shape

    def map(self, name: str) -> NDArray[Any]:
        """A tensor as a memory map, not yet checked; see `check`."""
        entry = self._entries[name]
        if entry.size == 0:
            return np.zeros(entry.shape, entry.dtype)
        try:
            return mapped(self.path, entry.dtype, entry.shape, entry.start)
        except (OSError, ValueError) as err:
            raise FeatureError(f"{self.path}: cannot be read ({err}); it may be truncated") from err

    def read(self, name: str) -> NDArray[Any]:
        """A tensor in memory, checked.

        Raises:
            FeatureError: the tensor is damaged.
        """
        entry = self._entries[name]
        content = bytearray(entry.size)
        try:
            with self.path.open("rb") as file:
                file.seek(entry.start)
                count = file.readinto(content)
        except OSError as err:
            raise FeatureError(f"{self.path}: cannot be read ({err}); it may be truncated") from err
        if count < entry.size:
            raise FeatureError(f"{self.path}: was cut off while it was read; try again when nothing writes to it")
        array = np.frombuffer(content, entry.dtype).reshape(entry.shape)
        self.check(name, array)
        return array

    def check(self, name: str, array: NDArray[Any], start: int = 0, stop: int | None = None, *, finite: bool = False) -> None:
        """Compare rows of a tensor with the digests of their blocks; each block is compared once per process.

        Args:
            name: name of the tensor.
            array: its memory map.
            start: first row.
            stop: the row after the last one; None for all.
            finite: whether to refuse NaN and infinity as well, in a file with digests.

        Raises:
            FeatureError: a block is damaged, or the file shrank.
        """
        entry = self._entries[name]
        if is_broken(array):
            raise FeatureError(f"{self.path}: was cut off after it was opened; open it again when nothing writes to it")
        if not self._digests or entry.size == 0:
            return
        rows = entry.shape[0] if entry.shape else 1
        row = entry.size // rows  # bytes
        last = rows if stop is None else min(stop, rows)
        unverified = [
            number for number in range(start * row // BLOCK, -(-last * row // BLOCK)) if entry.block + number not in self._verified
        ]
        flat = array.view(np.ndarray).reshape(-1).view(np.uint8) if unverified else array
        for number in unverified:
            block = flat[number * BLOCK : (number + 1) * BLOCK]
            if hashlib.sha256(block.data).digest() != self._digests[entry.block + number]:
                first, end = number * BLOCK // row, min(-(-(number + 1) * BLOCK // row), rows)
                raise FeatureError(f"{self.path}: rows {first} to {end} of {name} are damaged (their digest differs)")
            if finite and not _is_finite(block, entry.dtype):
                raise FeatureError(f"{self.path}: {name} holds NaN or infinite numbers")
            self._verified.add(entry.block + number)

    def _read_digests(self, header: bytes) -> list[bytes]:
        entry = self._entries.get(DIGESTS)
        if entry is None:
            return []
        blocks = 1 + sum(-(-other.size // BLOCK) for name, other in self._entries.items() if name != DIGESTS)
        is_last = all(other.start <= entry.start for other in self._entries.values())
        if entry.shape != (blocks, _DIGEST_BYTES) or entry.dtype != np.uint8 or not is_last:
            raise FeatureError(f"{self.path}: its digests are {entry.dtype} {entry.shape}; expected uint8 ({blocks}, {_DIGEST_BYTES})")
        with self.path.open("rb") as file:
            file.seek(entry.start)
            content = file.read(entry.size)
        found = [content[at : at + _DIGEST_BYTES] for at in range(0, len(content), _DIGEST_BYTES)]
        if len(found) != blocks or hashlib.sha256(header).digest() != found[0]:
            raise FeatureError(f"{self.path}: its header is damaged (its digest differs)")
        return found


def _is_finite(block: NDArray[np.uint8], dtype: np.dtype[Any]) -> bool:
    if dtype == np.float16:  # checked by its bits, because NumPy computes with float16 in software
        return not bool(((block.view(np.uint16) & 0x7C00) == 0x7C00).any())
    return bool(np.isfinite(block.view(dtype)).all())
