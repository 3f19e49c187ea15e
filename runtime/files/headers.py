"""The header of a safetensors file: metadata, and the type, shape and place of every tensor, without reading a tensor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open


@dataclass(frozen=True)
class Entry:
    """What the header says about one tensor.

    Attributes:
        dtype: in the names of safetensors, "F32".
        shape: of the tensor.
        start: bytes from the beginning of the file.
        size: bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    Attributes:
        content: its bytes, with the 8 bytes of its length.
        metadata: strings by name; empty if the file has none.
        entries: by the name of the tensor, in the order of the data.
    """

    content: bytes
    metadata: dict[str, str]
    entries: dict[str, Entry]


def read_header(path: Path) -> Header:
    """Read a header once the library has checked that offsets, types and shapes fit the length of the file.

    Raises:
        OSError: the file cannot be read.
        SafetensorError: it is not a safetensors file, or it is truncated.
        ValueError: the file changed between the check and the reading.
    """
    with safe_open(path, framework="numpy"):
        pass
    with path.open("rb") as file:
        length = file.read(8)
        content = length + file.read(int.from_bytes(length, "little"))
    table = json.loads(content[8:])
    metadata = table.pop("__metadata__", None) or {}
    entries = {}
    for name, fields in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = fields["data_offsets"]
        entries[name] = Entry(fields["dtype"], tuple(fields["shape"]), len(content) + start, end - start)
    return Header(content, metadata, entries)
