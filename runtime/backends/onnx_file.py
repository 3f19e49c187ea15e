"""Check an ONNX file before a runtime reads it: none of its tensors may be in another file. Needs no onnx, only protobuf's wire format.

A tensor whose `data_location` is EXTERNAL names a file and an offset. Runtimes read that file; older ones read any file on the machine.
Tensors may be in initializers, attributes, subgraphs and functions, so every message that can hold a tensor is parsed; the numbers
themselves are skipped. A file that cannot be parsed is never given to a runtime.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from wsra.runtime.errors import WsraError

MOST_BYTES = (1 << 31) - 1  # limit of a protobuf message
MOST_FIELDS = 4_000_000  # a graph has thousands; parsing so many takes a few seconds
MOST_DEPTH = 100  # limit of nested messages, as in protobuf's own parsers
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TENSOR = "tensor"
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
# Message -> field -> nested message, for all messages that can contain a tensor (onnx.proto of IR version 13).
_BELOW = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}


def check_onnx(path: Path, *, error: type[WsraError]) -> None:
    """Refuse an ONNX file that is not self-contained.

    Args:
        path: the file.
        error: type of the error to raise.

    Raises:
        WsraError: an error of the given type; the file is missing or not a regular file, is larger than 2 GiB, is not protobuf, or keeps
            weights in other files.
    """
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise error(f"{path}: not a regular file; expected an ONNX graph")
        if kind.st_size > MOST_BYTES:
            raise error(f"{path}: {kind.st_size} bytes; an ONNX graph has at most 2 GiB: export it in FP16")
        with path.open("rb") as file:
            outside = _names_a_file(file, kind.st_size)
    except OSError as err:
        raise error(f"{path}: cannot be read ({err.strerror}); expected an ONNX graph") from err
    except ValueError as err:
        raise error(f"{path}: not an ONNX graph ({err}); it may be truncated: copy or export it again") from err
    if outside:
        raise error(
            f"{path}: keeps weights in another file, which wsra does not read; save the graph in one file, as onnx.save_model does without"
            " save_as_external_data"
        )


def _names_a_file(file: BinaryIO, size: int) -> bool:
    """Whether a tensor of the model is in another file.

    Raises:
        ValueError: the file is not protobuf, or has more fields or nesting than a graph.
    """
    fields = 0
    ends = [("model", size)]  # open messages with their end, the innermost last
    place = 0
    while ends:
        message, end = ends[-1]
        if place == end:
            ends.pop()
            continue
        fields += 1
        if fields > MOST_FIELDS:
            raise ValueError(f"more than {MOST_FIELDS} fields")
        key, place = _varint(file, place, end)
        number, wire = key >> 3, key & 7
        length = 0
        if wire in (_VARINT, _BYTES):
            value, place = _varint(file, place, end)
            length = value if wire == _BYTES else 0
            if message == _TENSOR and number == _DATA_LOCATION and wire == _VARINT and value:
                return True
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"a field of wire type {wire}")
        if number == 0 or length > end - place:
            raise ValueError(f"a field of {length} bytes where {end - place} are left")
        if message == _TENSOR and number == _EXTERNAL_DATA:
            return True
        inner = _BELOW[message].get(number) if wire == _BYTES else None
        if inner is not None:
            ends.append((inner, place + length))
            if len(ends) > MOST_DEPTH:
                raise ValueError(f"messages more than {MOST_DEPTH} deep")
        else:
            place += length
            file.seek(place)
    return False


def _varint(file: BinaryIO, place: int, end: int) -> tuple[int, int]:
    """A number, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1) if place < end else b""
        if not byte:
            break
        place += 1
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, place
    raise ValueError("a number without an end")
