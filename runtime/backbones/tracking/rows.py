"""Rows of object features, one per object and snippet, sorted once all are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.boxes import Box

_COLUMNS = 32  # features sorted at a time, so that they are not in memory twice


@dataclass(frozen=True)
class Row:
    """One object in one snippet.

    Attributes:
        values: (D,) float16.
        start_s, end_s: from the first frame in which it is seen to the end of the last.
        box: mean over its frames.
    """

    values: NDArray[np.float16]
    start_s: float
    end_s: float
    box: Box


class RowStore:
    """Rows in order of arrival, as compact as in the file.

    Args (constructor):
        width: numbers per row, D.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._values, self._times, self._boxes, self._numbers = bytearray(), bytearray(), bytearray(), bytearray()

    def add(self, number: int, row: Row) -> None:
        """Add a row of the track with this number."""
        self._values += row.values.tobytes()
        self._times += np.array([row.start_s, row.end_s]).tobytes()
        self._boxes += np.array(row.box, np.float32).tobytes()
        self._numbers += np.array([number], np.int64).tobytes()

    def sorted(self) -> tuple[NDArray[np.float16], NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]]:
        """All rows, sorted by start and then by track number; this empties the store.

        Returns:
            values (R, D), times (R, 2) in seconds, boxes (R, 4) and numbers (R,) of tracks.
        """
        values = np.frombuffer(self._values, np.float16).reshape(-1, self._width)
        times, boxes = np.frombuffer(self._times).reshape(-1, 2), np.frombuffer(self._boxes, np.float32).reshape(-1, 4)
        numbers = np.frombuffer(self._numbers, np.int64)
        order = np.lexsort((numbers, times[:, 0]))
        for first in range(0, self._width, _COLUMNS):
            columns = np.s_[:, first : first + _COLUMNS]
            values[columns] = values[columns][order]
        return values, times[order], boxes[order], numbers[order]
