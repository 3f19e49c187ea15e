"""Damage of Matroska by its elements: sizes, kinds, repetition, and values."""

from __future__ import annotations

from random import Random

from hostile.mutate import fields

HOLDERS = frozenset(
    (0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7, 0x1254C367, 0x7373)
)
Element = tuple[int, int, int, int]  # start, start of the content and end in bytes; kind


def damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """One or two damages of elements."""
    told = []
    for _ in range(rng.choice((1, 1, 2))):
        data, what = _once(rng, data)
        told.append(what)
    return data, "; ".join(told)


def _number(data: bytes, start: int, *, marker: bool) -> tuple[int, int]:
    """A number of variable length and its length in bytes; (-1, 0) where there is none."""
    if start >= len(data) or data[start] == 0:
        return -1, 0
    length = 9 - data[start].bit_length()
    value = int.from_bytes(data[start : start + length], "big")
    return (value if marker else value & ((1 << 7 * length) - 1)), length


def found(data: bytes, start: int = 0, end: int | None = None) -> list[Element]:
    """All elements, also those in others, as far as their sizes make sense."""
    elements: list[Element] = []
    end = len(data) if end is None else end
    while start < end:
        kind, first = _number(data, start, marker=True)
        size, second = _number(data, start + first, marker=False)
        if first == 0 or second == 0:
            break
        content = start + first + second
        stop = end if size == (1 << 7 * second) - 1 else content + size  # all ones: of unknown length
        if stop > end:
            break
        elements.append((start, content, stop, kind))
        if kind in HOLDERS:
            elements += found(data, content, stop)
        start = stop
    return elements


def _once(rng: Random, data: bytes) -> tuple[bytes, str]:
    elements = found(data)
    if not elements:
        return fields.field_set(rng, data)
    small = [e for e in elements if e[3] not in HOLDERS and e[2] - e[1] <= 64]
    start, content, stop, kind = rng.choice(small if small and rng.random() < 0.7 else elements)
    chosen = rng.randrange(9)
    if chosen <= 4 and stop - content <= 64:
        size = stop - content
        value = (rng.choice(fields.VALUES) % (1 << 8 * size)).to_bytes(size, "big") if rng.random() < 0.7 else rng.randbytes(size)
        return data[:content] + value + data[stop:], f"{kind:#x} is {value[:8].hex()}"
    if chosen == 5:
        size = rng.choice((0xFF, 0x80, 0x81, 0x00, 0x01, 0xFE))
        return data[: content - 1] + bytes([size]) + data[content:], f"size of {kind:#x} ends in {size:#x}"
    if chosen == 6:
        return data[:start] + bytes([data[start] ^ 1 << rng.randrange(8)]) + data[start + 1 :], f"{kind:#x} is of another kind"
    if chosen == 7:
        return data[:stop] + data[start:stop] + data[stop:], f"{kind:#x} twice"
    filler = bytes([0xEC, 0x80]) + bytes(max(0, stop - start - 2))
    return data[:start] + filler[: stop - start] + data[stop:], f"{kind:#x} voided"
