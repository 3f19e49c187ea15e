"""Damage of MP4 by its boxes: sizes, kinds, order, repetition, and the values of single fields."""

from __future__ import annotations

from random import Random

from hostile.mutate import fields

HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"edts", b"udta", b"dinf"})
TIMES = frozenset(
    {b"tfdt", b"stts", b"ctts", b"mdhd", b"mvhd", b"tkhd", b"elst", b"trun", b"tfhd", b"stsz", b"stco", b"stsc", b"pasp", b"avcC"}
)
KINDS = (b"free", b"moov", b"trak", b"mdat", b"stts", b"tfdt", b"udta", b"meta", b"\0\0\0\0", b"uuid", b"cmov", b"rmra", b"url ", b"alis")
Box = tuple[int, int, bytes]  # start and end in bytes, kind


def damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """One or two damages of boxes."""
    told = []
    for _ in range(rng.choice((1, 1, 2))):
        data, what = _once(rng, data)
        told.append(what)
    return data, "; ".join(told)


def found(data: bytes, start: int = 0, end: int | None = None) -> list[Box]:
    """All boxes, also those in others, as far as their sizes make sense."""
    boxes: list[Box] = []
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if size < 8 or start + size > end:
            break
        boxes.append((start, start + size, kind))
        if kind in HOLDERS:
            boxes += found(data, start + 8, start + size)
        start += size
    return boxes


def _once(rng: Random, data: bytes) -> tuple[bytes, str]:
    boxes = found(data)
    if not boxes:
        return fields.field_set(rng, data)
    timed = [box for box in boxes if box[2] in TIMES]
    start, end, kind = rng.choice(timed if timed and rng.random() < 0.6 else boxes)
    name, chosen = kind.decode("latin-1"), rng.randrange(10)
    if chosen <= 4 and kind != b"mdat":
        body, what = fields.field_set(rng, data[start + 8 : end])
        return data[: start + 8] + body + data[end:], f"{name}: {what}"
    if chosen == 5:
        size = rng.choice((0, 1, 7, 8, 9, 2**31, 2**32 - 1, end - start + rng.choice((-8, -1, 1, 8))))
        return data[:start] + (size % 2**32).to_bytes(4, "big") + data[start + 4 :], f"{name} of {size} bytes"
    if chosen == 6:
        letters = rng.choice(KINDS)
        return data[: start + 4] + letters + data[start + 8 :], f"{name} is {letters!r}"
    if chosen == 7:
        return _resized(data, boxes, start, end, data[start:end] * 2), f"{name} twice"
    if chosen == 8:
        return _resized(data, boxes, start, end, b""), f"{name} left out"
    other = rng.choice(boxes)
    piece = data[other[0] : other[1]]
    return _resized(data, boxes, start, end, piece), f"{name} replaced by {other[2].decode('latin-1')}"


def _resized(data: bytes, boxes: list[Box], start: int, end: int, piece: bytes) -> bytes:
    """Another piece in the place of a box, with the sizes of those around it corrected."""
    changed = bytearray(data)
    more = len(piece) - (end - start)
    for first, last, _ in boxes:
        if first < start and end <= last:
            changed[first : first + 4] = max(0, last - first + more).to_bytes(4, "big")
    return bytes(changed[:start]) + piece + bytes(changed[end:])
