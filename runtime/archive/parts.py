"""Consecutive files of one camera as one recording: their snippets follow each other on one clock, and no number is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError
from wsra.runtime.features import Features

GAP_S = 5.0  # a recording that was off for longer is two stretches


@dataclass(frozen=True)
class Joined:
    """Parts of one recording; made by `joined`.

    Attributes:
        parts: in order of time.
        starts_s: second 0 of each part on the clock of the recording.
        times_s: (T, 2) float64 of all snippets on that clock.
        video: name of the recording.
        duration_s: from second 0 of the first part to the end of the last.
    """

    parts: tuple[Features, ...]
    starts_s: tuple[float, ...]
    times_s: NDArray[np.float64]
    video: str
    duration_s: float

    def __len__(self) -> int:
        return len(self.times_s)


Recording = Features | Joined


def joined(parts: Sequence[Features], *, video: str, starts_s: Sequence[float] | None = None) -> Joined:
    """Join consecutive parts.

    Grounding has no context beyond a snippet, so scores are those of the whole; a moment may reach over the boundary of two parts where
    no more than 5 s are missing.

    Args:
        parts: features in order of time.
        video: name of the recording.
        starts_s: when second 0 of each part was, in seconds on any clock; the recording starts with the first. A part that starts up to
            5 s before the one before ends follows it, since recorders name files by whole seconds. None: each follows the one before.

    Raises:
        FeatureError: there is no part, their backbones differ, or a part starts more than 5 s before the one before ends.
    """
    if not parts:
        raise FeatureError(f"{video}: no part to join; expected one or more .feat files")
    if starts_s is not None and len(starts_s) != len(parts):
        raise FeatureError(f"{video}: {len(starts_s)} starts for {len(parts)} parts; expected one for each")
    for part in parts[1:]:
        if (part.backbone, part.width) != (parts[0].backbone, parts[0].width):
            raise FeatureError(
                f"{part.video}: features of {part.backbone} ({part.width} wide) do not join those of {parts[0].video}"
                f" ({parts[0].backbone}, {parts[0].width} wide): extract both with one backbone"
            )
    begins = [0.0]
    for number in range(1, len(parts)):
        end_s = begins[-1] + max(parts[number - 1].duration_s, float(parts[number - 1].times_s[-1, 1]))
        begin_s = end_s if starts_s is None else float(starts_s[number] - starts_s[0])
        if begin_s < end_s - GAP_S:
            raise FeatureError(
                f"{parts[number].video}: starts {end_s - begin_s:.1f} s before {parts[number - 1].video} ends; expected files that"
                " follow each other: ground them apart"
            )
        begins.append(max(begin_s, end_s))
    times_s = np.concatenate([part.times_s + begin_s for part, begin_s in zip(parts, begins, strict=True)])
    return Joined(tuple(parts), tuple(begins), times_s, video, begins[-1] + parts[-1].duration_s)


class JoinedRows:
    """Rows of several arrays one after the other, read in slices; nothing is copied but what is read.

    Args (constructor):
        arrays: (T_i, W) each, float16 or float32.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = arrays
        self._edges = np.cumsum([0, *(len(array) for array in arrays)]).tolist()

    @property
    def shape(self) -> tuple[int, ...]:
        """T and W."""
        return self._edges[-1], self._arrays[0].shape[1]

    def __getitem__(self, span: slice, /) -> NDArray[Any]:
        """Consecutive rows; of one part a view."""
        start, stop, _ = span.indices(self._edges[-1])
        pieces = [
            array[max(0, start - edge) : max(0, stop - edge)]
            for array, edge in zip(self._arrays, self._edges[:-1], strict=True)
            if start < edge + len(array) and stop > edge
        ]
        if not pieces:
            return self._arrays[0][:0]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
