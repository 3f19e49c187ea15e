"""Damage of safetensors files: the header's JSON, offsets, types and shapes, metadata, and single numbers of the data."""

from __future__ import annotations

import json
import struct
from random import Random
from typing import Any

from hostile.mutate import jsons
from hostile.mutate.texts import STRINGS

_TYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "F4", "X9", "")
_NUMBERS = (0, 1, -1, 2**31, 2**32, 2**63, 2**64 - 1, 10**9, 10**12, 3)
_PATTERNS = (b"\xff\xff", b"\x00\x7c", b"\x00\xfc", b"\xff\x7b", b"\x01\x00", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x00\x00\xc0\x7f")


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a valid file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: bytes, body: bytes) -> bytes:
    """A file of both."""
    header = header.ljust(-(-len(header) // 8) * 8)
    return len(header).to_bytes(8, "little") + header + body


def header_damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Damage the header, so that the file stays one of safetensors in form."""
    header, body = parts(data)
    names = [name for name in header if name != "__metadata__"]
    name, chosen = rng.choice(names), rng.randrange(8)
    entry = header[name]
    if chosen == 0:
        entry["dtype"] = rng.choice(_TYPES)
        what = f"{name} is {entry['dtype']}"
    elif chosen == 1:
        place = rng.randrange(2)
        entry["data_offsets"][place] = rng.choice((*_NUMBERS, entry["data_offsets"][place] + rng.choice((-8, -1, 1, 2, 8))))
        what = f"offsets of {name} are {entry['data_offsets']}"
    elif chosen == 2:
        entry["shape"] = rng.choice(
            ([], [0], [1], entry["shape"][::-1], [*entry["shape"], 1], [rng.choice(_NUMBERS) for _ in entry["shape"]])
        )
        what = f"shape of {name} is {entry['shape']}"
    elif chosen == 3:  # consistent in itself: fewer rows, or rows cut otherwise
        shape = entry["shape"]
        entry["shape"] = [shape[0] * shape[1], 1] if len(shape) == 2 else [*shape, 1]
        what = f"shape of {name} is {entry['shape']}"
    elif chosen == 4 and header.get("__metadata__"):
        key = rng.choice(list(header["__metadata__"]))
        header["__metadata__"][key] = rng.choice((*STRINGS, "0", "-1", "1e300", "nan", "inf", "{}", "[]"))
        what = f"metadata {key} is {header['__metadata__'][key][:30]!r}"
    elif chosen == 5 and "__metadata__" in header:
        key = rng.choice((*STRINGS, *header["__metadata__"]))
        header["__metadata__"].pop(key, None) or header["__metadata__"].update({key: rng.choice(STRINGS)})
        what = f"metadata {key[:30]!r} left out or added"
    elif chosen == 6:
        length = rng.choice((0, 1, 7, len(data), 2**31, 2**40, 2**62, 2**63, 2**64 - 1, 100_000_001))
        return length.to_bytes(8, "little") + data[8:], f"header of {length} bytes"
    else:
        text, what = jsons.damaged(rng, header)
        return joined(text, body), what
    return joined(json.dumps(header).encode(), body), what


def numbers_damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Set numbers of the data to NaN, infinite, the largest, the smallest or something near."""
    size = 8 + int.from_bytes(data[:8], "little")
    count = (len(data) - size) // 2
    changed = bytearray(data)
    pattern = rng.choice((*_PATTERNS, struct.pack("<d", rng.choice((1e300, -1.0, float("nan"), 1e18, 0.0)))))
    places = [size + 2 * rng.randrange(max(1, count)) for _ in range(rng.choice((1, 1, 4)))]
    for place in places:
        changed[place : place + len(pattern)] = pattern
    return bytes(changed[: len(data)]), f"{pattern.hex()} at {places}"
