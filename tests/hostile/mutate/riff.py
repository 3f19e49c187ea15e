"""Damage of AVI by its chunks: sizes, kinds, fields, and the tags of its codec."""

from __future__ import annotations

from random import Random

from hostile.mutate import fields

TAGS = [
    "AVS2",
    "AVS3",
    "H266",
    "VVC1",
    "DHAV",
    "H264",
    "HEVC",
    "AV01",
    "VP80",
    "VP90",
    "XVID",
    "DIVX",
    "MJPG",
    "DIB",
    "",
    "RGB",
    "",
    "HFYU",
    "FFV1",
    "FFVH",
    "cvid",
    "IV31",
    "IV32",
    "IV41",
    "IV50",
    "MPG4",
    "MP42",
    "MP43",
    "WMV1",
    "WMV2",
    "WMV3",
    "WVC1",
    "WMVP",
    "WVP2",
    "DXSA",
    "DXSB",
    "SVQ1",
    "SVQ3",
    "tscc",
    "TSC2",
    "G2M2",
    "G2M4",
    "ZMBV",
    "KMVC",
    "LOCO",
    "WNV1",
    "CSCD",
    "MSZH",
    "ZLIB",
    "SNOW",
    "VYUY",
    "YUY2",
    "UYVY",
    "I420",
    "YV12",
    "Y800",
    "v210",
    "r210",
    "dvsd",
    "dv25",
    "CDVC",
    "VCR1",
    "ASV1",
    "ASV2",
    "FPS1",
    "SMV2",
    "ULRG",
    "ULY0",
    "MAGY",
    "M8RG",
    "LAGS",
    "CFHD",
    "AVdn",
    "AVdh",
    "apch",
    "CHQX",
    "HAPY",
    "SHQ0",
    "DXTN",
    "PIXL",
    "QPEG",
    "RT21",
    "UCOD",
    "VBLE",
    "VDTZ",
    "V655",
    "VMnc",
    "XAN4",
    "ZECO",
    "msa1",
    "mss1",
    "mss2",
    "GEOX",
    "BT20",
    "MWV1",
    "CLLC",
    "Hap1",
    "IPDV",
    "PGVV",
    "\x00\x00\x00\x00",
    "~~~~",
]
HOLDERS = (b"RIFF", b"LIST")
Chunk = tuple[int, int, bytes]  # start and end in bytes, kind


def damaged(rng: Random, data: bytes) -> tuple[bytes, str]:
    """One or two damages of chunks."""
    told = []
    for _ in range(rng.choice((1, 1, 2))):
        data, what = _once(rng, data)
        told.append(what)
    return data, "; ".join(told)


def found(data: bytes, start: int = 0, end: int | None = None) -> list[Chunk]:
    """All chunks, also those in lists, as far as their sizes make sense."""
    chunks: list[Chunk] = []
    end = len(data) if end is None else end
    while start + 8 <= end:
        kind, size = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8], "little")
        stop = min(end, start + 8 + size)
        chunks.append((start, stop, kind))
        if kind in HOLDERS:
            chunks += found(data, start + 12, stop)
        start = start + 8 + size + size % 2
    return chunks


def _once(rng: Random, data: bytes) -> tuple[bytes, str]:
    chunks, chosen = found(data), rng.randrange(10)
    if not chunks:
        return fields.field_set(rng, data, order="little")
    if chosen <= 3:
        tag = rng.choice(TAGS).ljust(4)[:4].encode("latin-1")
        changed = bytearray(data)
        for start, _, kind in chunks:
            if kind == b"strh" and data[start + 8 : start + 12] == b"vids":
                changed[start + 12 : start + 16] = tag
            if kind == b"strf":
                changed[start + 24 : start + 28] = tag
        return bytes(changed), f"codec {tag!r}"
    heads = [chunk for chunk in chunks if chunk[2] in (b"avih", b"strh", b"strf", b"idx1", b"indx", b"vprp")]
    start, end, kind = rng.choice(heads if heads and rng.random() < 0.6 else chunks)
    name = kind.decode("latin-1")
    if chosen <= 6 and end - start < 4096:
        body, what = fields.field_set(rng, data[start + 8 : end], order="little")
        return data[: start + 8] + body + data[end:], f"{name}: {what}"
    if chosen == 7:
        size = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**31, end - start))
        return data[: start + 4] + size.to_bytes(4, "little") + data[start + 8 :], f"{name} of {size} bytes"
    if chosen == 8:
        return data[:end] + data[start:end] + data[end:], f"{name} twice"
    other = rng.choice((b"JUNK", b"LIST", b"strh", b"strf", b"01wb", b"00dc", b"\0\0\0\0"))
    return data[:start] + other + data[start + 4 :], f"{name} is {other!r}"
