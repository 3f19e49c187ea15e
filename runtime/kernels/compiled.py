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

COLUMNS = 256  # of keys whose running sums are kept together
SHORTEST = np.float32(1e-12)  # a key that is shorter is divided by this instead of its length

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
def trained(keys: Any, first: int, last: int, offsets: Any, half_out: Any, bias: Any, directions: Any, out: Any) -> None:
    """Logits (Q, T) of rows [first, last) of keys (T, H), float32 or the bits of float16: sum of half_out * (x + |x|) + bias + cosine.

    x is key + offset; x + |x| is twice relu(x), exactly, and NaN where x is; `half_out` is half of the output weights. The cosine is that
    of the key and the direction (Q, H), times the length of the latter.
    """
    for t in range(first, last):
        square = np.float32(0.0)
        for h in range(keys.shape[1]):
            square += _wide(keys[t, h]) * _wide(keys[t, h])
        length = max(np.sqrt(square), SHORTEST)
        for q in range(offsets.shape[0]):
            total, product = np.float32(0.0), np.float32(0.0)
            for h in range(keys.shape[1]):
                key = _wide(keys[t, h])
                x = key + offsets[q, h]
                total += half_out[h] * (x + abs(x))
                product += key * directions[q, h]
            out[q, t] = total + bias + product / length


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


@numba.njit(nogil=True, fastmath=_REORDER, cache=True)
def windows(
    keys: Any,
    first: int,
    stop: int,
    rungs: Any,
    edges: Any,
    offsets: Any,
    half_out: Any,
    directions: Any,
    out: Any,
    products: Any,
    squares: Any,
) -> None:
    """Add to `out` the terms of every window that starts in [first, stop): half_out * (x + |x|), x the window's mean key + offset.

    What a cosine needs is added to `products` (mean key times direction) and to `squares` (of the mean key).

    Some columns at a time, whose running sums in float64 stay in the processor's cache.

    Args:
        keys: rows from `first` on, to the end of the longest window that starts before `stop`; float32 or the bits of float16.
        first: row.
        stop: row.
        rungs: (R, 3) length, stride and number of windows.
        edges: (R + 1,) where the windows of each rung begin in `out`.
        offsets: (Q, H).
        half_out: (H,).
        directions: (Q, H).
        out: (Q, all windows).
        products: (Q, all windows).
        squares: (all windows,).
    """
    sums, means = np.zeros((keys.shape[0] + 1, COLUMNS)), np.zeros(COLUMNS, np.float32)
    for column in range(0, keys.shape[1], COLUMNS):
        wide = min(COLUMNS, keys.shape[1] - column)
        factors = half_out[column : column + wide]  # slices, for an index that is a sum keeps numba from vector instructions
        for t in range(keys.shape[0]):
            row, before, after = keys[t, column : column + wide], sums[t], sums[t + 1]
            for h in range(wide):
                after[h] = before[h] + _wide(row[h])
        for rung in range(rungs.shape[0]):
            length, stride, share = rungs[rung, 0], rungs[rung, 1], 1.0 / rungs[rung, 0]
            for number in range(-(-first // stride), min(rungs[rung, 2], -(-stop // stride))):
                before, after = sums[number * stride - first], sums[number * stride - first + length]
                square = np.float32(0.0)
                for h in range(wide):
                    means[h] = (after[h] - before[h]) * share
                    square += means[h] * means[h]
                squares[edges[rung] + number] += square
                for q in range(offsets.shape[0]):
                    added, total = offsets[q, column : column + wide], np.float32(0.0)
                    towards, product = directions[q, column : column + wide], np.float32(0.0)
                    for h in range(wide):
                        x = means[h] + added[h]
                        total += factors[h] * (x + abs(x))
                        product += means[h] * towards[h]
                    out[q, edges[rung] + number] += total
                    products[q, edges[rung] + number] += product
