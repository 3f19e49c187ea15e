"""What the mutators of containers share: absurd values of fields, and fields set to them."""

from __future__ import annotations

from random import Random

VALUES = (0, 1, 2, 7, 8, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**59, 2**63 - 1, 2**63, 2**64 - 1, 1000, 10**14)


def field_set(rng: Random, data: bytes, *, order: str = "big", step: int = 4) -> tuple[bytes, str]:
    """Set one aligned field of 2, 4 or 8 bytes to an absurd value."""
    size = rng.choice((2, 4, 4, 8))
    if len(data) < size:
        return bytes([rng.randrange(256)]) * len(data), "all bytes set"
    place = step * rng.randrange(max(1, (len(data) - size) // step + 1))
    value = rng.choice(VALUES) % (1 << 8 * size)
    changed = value.to_bytes(size, "big" if order == "big" else "little")
    return data[:place] + changed + data[place + size :], f"{size} bytes at {place} are {value}"
