"""The median of a stack of pictures, pixel by pixel, whole pictures compared at a time: much faster than sorting each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def middle_of(images: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Median of each pixel over the pictures; for an even number, the lower of the two middle values.

    Args:
        images: one or more of the same shape, (H, W) or (H, W, C), uint8.

    Returns:
        One picture of that shape, uint8.
    """
    ordered = list(images)
    for low, high in _comparisons(len(ordered)):
        ordered[low], ordered[high] = cv2.min(ordered[low], ordered[high]), cv2.max(ordered[low], ordered[high])
    return np.array(ordered[(len(ordered) - 1) // 2], np.uint8)


def _comparisons(count: int) -> Iterator[tuple[int, int]]:
    """The comparators of a sorting network, in order: Batcher's odd-even merge sort."""
    merged = 1
    while merged < count:
        apart = merged
        while apart >= 1:
            for first in range(apart % merged, count - apart, 2 * apart):
                for low in range(first, min(first + apart, count - apart)):
                    if low // (2 * merged) == (low + apart) // (2 * merged):
                        yield low, low + apart
            apart //= 2
        merged *= 2
