"""Rows of a video as a backbone gives them: of snippets one by one, of objects all at the end; with their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.protocol import Backbone, ObjectBackbone, SnippetBackbone
from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.video.frames import Frame


@dataclass(frozen=True)
class Gathered:
    """All rows of a video.

    Attributes:
        values: (R, D) float32 of snippets, float16 of objects.
        times_s: (R, 2) float64 start and end of each row in seconds.
        tracks: whose they are, where they are of objects.
    """

    values: NDArray[Any]
    times_s: NDArray[np.float64]
    tracks: Tracks | None

    def until(self, end_s: float) -> Gathered:
        """The same where nothing ends after the video does."""
        tracks = self.tracks
        if tracks is not None:
            tracks = replace(tracks, lives_s=np.minimum(tracks.lives_s, end_s))
        return Gathered(self.values, np.minimum(self.times_s, end_s), tracks)


def gather(backbone: Backbone, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Gathered:
    """Describe frames.

    Args:
        backbone: what describes them.
        frames: in presentation order, as `backbone.reads_at` says.
        snippet_s: length of a snippet in seconds.
        seen: called with the number of each snippet that was described.
    """
    if isinstance(backbone, ObjectBackbone):
        objects = backbone.objects(frames, snippet_s, seen)
        return Gathered(objects.values, objects.times_s, objects.tracks)
    if not isinstance(backbone, SnippetBackbone):
        raise TypeError(f"{type(backbone).__name__} gives neither features of snippets nor rows of objects")
    rows, numbers = bytearray(), []  # grows in place; a list of rows would be copied to be joined
    for number, row in backbone.features(frames, snippet_s):
        rows += row.tobytes()
        numbers.append(number)
        if seen is not None:
            seen(number)
    starts = np.array(numbers, np.float64) * snippet_s
    values = np.frombuffer(rows, np.float32).reshape(len(numbers), -1)
    return Gathered(values, np.stack([starts, starts + snippet_s], axis=1), None)
