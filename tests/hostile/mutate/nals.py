"""Damage of streams without an index: packets of MPEG-TS, units of H.264, segments of JPEG."""

from __future__ import annotations

import re
from random import Random

from hostile.mutate import fields, raw

PACKET = 188


def packets_damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Packets of MPEG-TS left out, repeated, shuffled, of another program; stamps and tables changed."""
    packets = [data[at : at + PACKET] for at in range(0, len(data), PACKET)]
    place, chosen = rng.randrange(len(packets)), rng.randrange(7)
    if chosen == 0:
        count = rng.choice((1, 3, 20))
        del packets[place : place + count]
        what = f"{count} packets from {place} left out"
    elif chosen == 1:
        packets.insert(place, packets[rng.randrange(len(packets))])
        what = f"a packet repeated at {place}"
    elif chosen == 2:
        other = rng.randrange(len(packets))
        packets[place], packets[other] = packets[other], packets[place]
        what = f"packets {place} and {other} swapped"
    elif chosen == 3:
        packets[place] = packets[place][:1] + rng.randbytes(2) + packets[place][3:]
        what = f"packet {place} of another program"
    elif chosen == 4:  # the first packets are tables
        place = rng.randrange(min(4, len(packets)))
        packets[place], what = raw.damaged(rng, packets[place])
        what = f"table {place}: {what}"
    elif chosen == 5:
        starts = [number for number, packet in enumerate(packets) if len(packet) > 30 and packet[1] & 0x40 and b"\0\0\1\xe0" in packet]
        place = rng.choice(starts or [0])
        at = packets[place].find(b"\0\0\1\xe0") + 9
        packets[place] = packets[place][:at] + rng.randbytes(10) + packets[place][at + 10 :]
        what = f"stamps of packet {place}"
    else:
        packets[place], what = fields.field_set(rng, packets[place], step=1)
        what = f"packet {place}: {what}"
    return b"".join(packets), what


def damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Units of bare H.264: left out, repeated, of another kind, their parameters changed."""
    starts = [match.start() for match in re.finditer(rb"\x00\x00\x01", data)]
    pieces = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    place, chosen = rng.randrange(len(pieces)), rng.randrange(6)
    if chosen == 0:
        del pieces[place]
        what = f"unit {place} left out"
    elif chosen == 1:
        pieces.insert(rng.randrange(len(pieces)), pieces[place])
        what = f"unit {place} repeated"
    elif chosen == 2:
        pieces[place] = pieces[place][:3] + bytes([rng.randrange(256)]) + pieces[place][4:]
        what = f"unit {place} of another kind"
    elif chosen == 3:  # the sets of parameters come first
        place = rng.randrange(min(3, len(pieces)))
        body, what = raw.damaged(rng, pieces[place][4:])
        pieces[place] = pieces[place][:4] + body
        what = f"unit {place}: {what}"
    elif chosen == 4:
        pieces[place] = pieces[place][: rng.randrange(4, len(pieces[place]) + 1)] if len(pieces[place]) > 4 else pieces[place]
        what = f"unit {place} cut"
    else:
        body, what = raw.damaged(rng, pieces[place][4:])
        pieces[place] = pieces[place][:4] + body
        what = f"unit {place}: {what}"
    return data[: starts[0]] + b"".join(pieces), what


def jpeg_damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Segments of JPEG: size of the picture, tables, markers, lengths."""
    markers = [match.start() for match in re.finditer(rb"\xff[\xc0-\xfe]", data)]
    frames = [at for at in markers if data[at + 1] in (0xC0, 0xC1, 0xC2)]
    chosen = rng.randrange(5)
    if chosen <= 1 and frames:
        at = rng.choice(frames)
        height, width = (rng.choice((0, 1, 8, 9, 17, 480, 4096, 65_500, 65_535)) for _ in range(2))
        size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        return data[: at + 5] + size + data[at + 9 :], f"a picture of {width}x{height}"
    at = rng.choice(markers)
    if chosen == 2:
        kind = rng.randrange(0xC0, 0xFF)
        return data[: at + 1] + bytes([kind]) + data[at + 2 :], f"a marker {kind:#x}"
    if chosen == 3:
        length = rng.choice((0, 1, 2, 65_535, rng.randrange(65_536)))
        return data[: at + 2] + length.to_bytes(2, "big") + data[at + 4 :], f"a segment of {length} bytes"
    piece, what = raw.damaged(rng, data[at : at + 64])
    return data[:at] + piece + data[at + 64 :], what
