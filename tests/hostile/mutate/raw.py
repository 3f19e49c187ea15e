"""Damage of bytes, whatever they mean."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Done = tuple[bytes, str]
SPECIAL = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x20, 0x0A, 0x22, 0x5B, 0x7B)


def damaged(rng: Random, data: bytes) -> Done:
    """One to three damages; the result differs from `data` wherever that is possible."""
    told = []
    before = data
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data, what = rng.choice(_ALL)(rng, data)
        told.append(what)
    if data == before:
        data, what = _flip(rng, data)
        told.append(what)
    return data, "; ".join(told)


def _flip(rng: Random, data: bytes) -> Done:
    if not data:
        return b"\x00", "a byte into nothing"
    place, bit = rng.randrange(len(data)), rng.randrange(8)
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :], f"bit {bit} of byte {place} flipped"


def _set(rng: Random, data: bytes) -> Done:
    if not data:
        return data, "nothing"
    place, value = rng.randrange(len(data)), rng.choice(SPECIAL)
    return data[:place] + bytes([value]) + data[place + 1 :], f"byte {place} set to {value}"


def _head(rng: Random, data: bytes) -> Done:
    place, value = rng.randrange(min(64, max(1, len(data)))), rng.randrange(256)
    return data[:place] + bytes([value]) + data[place + 1 :], f"byte {place} set to {value}"


def _cut(rng: Random, data: bytes) -> Done:
    kept = rng.choice((rng.randrange(len(data) + 1), max(0, len(data) - rng.randrange(1, 9)), min(len(data), rng.randrange(64))))
    return data[:kept], f"cut to {kept} of {len(data)} bytes"


def _extend(rng: Random, data: bytes) -> Done:
    more = rng.choice((b"\0", b"\xff", b"{}", rng.randbytes(16))) * rng.choice((1, 8, 4096))
    return data + more, f"{len(more)} bytes appended"


def _drop(rng: Random, data: bytes) -> Done:
    first, count = rng.randrange(len(data) + 1), rng.choice((1, 4, 8, 64, 512))
    return data[:first] + data[first + count :], f"{count} bytes from {first} left out"


def _insert(rng: Random, data: bytes) -> Done:
    place, more = rng.randrange(len(data) + 1), rng.randbytes(rng.choice((1, 4, 8, 64)))
    return data[:place] + more + data[place:], f"{len(more)} bytes inserted at {place}"


def _splice(rng: Random, data: bytes) -> Done:
    source, target, count = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1), rng.choice((4, 32, 256, 1024))
    piece = data[source : source + count]
    return data[:target] + piece + data[target + len(piece) :], f"{len(piece)} bytes from {source} copied to {target}"


def _block(value: int) -> Callable[[Random, bytes], Done]:
    def block(rng: Random, data: bytes) -> Done:
        first, count = rng.randrange(len(data) + 1), rng.choice((2, 8, 64, 512, 4096))
        count = min(count, len(data) - first)
        return data[:first] + bytes([value]) * count + data[first + count :], f"{count} bytes from {first} set to {value:#x}"

    return block


_ALL = (_flip, _flip, _set, _head, _cut, _extend, _drop, _insert, _splice, _block(0x00), _block(0xFF))
