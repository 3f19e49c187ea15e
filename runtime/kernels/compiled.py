"""What numba compiles (extra `fast`). Only `fused.py` imports this module, for importing numba takes a third of a second.

Shapes: T snippets, Q sentences, H key width, R vectors per snippet, D their width.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from wsra.runtime.maximal import search

# Sums may be reordered, which vector units need; NaN and infinity keep their meaning.
_REORDER = {"reassoc", "contract", "nsz"}


@intrinsic
def _widened(context: Any, value: Any) -> Any:
    """float32 of a float32, or of the bits of a float16, one instruction for many numbers; numba itself knows no float16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if value != types.uint16:
            return arguments[0]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(value), generate


_wide: Any = _widened  # called without its context


@numba.njit(nogil=True, fastmath=_REORDER, cache=True)
def trained(keys: Any, first: int, last: int, offsets: Any, half_out: Any, bias: Any, out: Any) -> None:
    """Logits (Q, T) of rows [first, last) of keys (T, H), float32 or the bits of float16: sum of half_out * (x + |x|) + bias.

    x is key + offset; x + |x| is twice relu(x), exactly, and NaN where x is; `half_out` is half of the output weights.
    """
    for t in range(first, last):
        for q in range(offsets.shape[0]):
            total = np.float32(0.0)
            for h in range(keys.shape[1]):
                x = _wide(keys[t, h]) + offsets[q, h]
                total += half_out[h] * (x + abs(x))
            out[q, t] = total + bias


@numba.njit(nogil=True, fastmath=_REORDER, cache=True)
def cosine(keys: Any, first: int, last: int, directions: Any, slots: int, scale: Any, out: Any) -> None:
    """Logits (Q, T) of rows [first, last) of keys (T, R * D + 1): scale * (the largest cosine - the last number)."""
    width = directions.shape[1]
    for t in range(first, last):
        nearest = _wide(keys[t, slots * width])
        for q in range(directions.shape[0]):
            best = np.float32(-np.inf)
            for slot in range(slots):
                total = np.float32(0.0)
                for d in range(width):
                    total += _wide(keys[t, slot * width + d]) * directions[q, d]
                if total > best or total != total:  # NaN stays
                    best = total
            out[q, t] = scale * (best - nearest)


maximal = numba.njit(cache=True)(search)
