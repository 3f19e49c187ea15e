"""Collecting the rows of a video from a backbone, with their times: snippets arrive one by one, objects all at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
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
        values: (R, D); float32 for snippets, float16 for objects.
        times_s: (R, 2) float64 start and end of each row in seconds.
        tracks: the tracks of the rows, for objects; else None.
    """

    values: NDArray[Any]
    times_s: NDArray[np.float64]
    tracks: Tracks | None

    def until(self, end_s: float) -> Gathered:
        """A copy in which nothing ends after the video."""
        tracks = self.tracks
        if tracks is not None:
            tracks = replace(tracks, lives_s=np.minimum(tracks.lives_s, end_s))
        return Gathered(self.values, np.minimum(self.times_s, end_s), tracks)


def gather(backbone: Backbone, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Gathered:
    """Describe frames.

    Args:
        backbone: the backbone.
        frames: frames in presentation order, read as `backbone.reads_at` requires.
        snippet_s: length of a snippet in seconds.
        seen: called with the number of each snippet when it is done.

    Raises:
        TypeError: the backbone describes neither snippets nor objects.
    """
    if isinstance(backbone, ObjectBackbone):
        objects = backbone.objects(frames, snippet_s, seen)
        return Gathered(objects.values, objects.times_s, objects.tracks)
    if not isinstance(backbone, SnippetBackbone):
        raise TypeError(f"{type(backbone).__name__} describes neither snippets nor objects")
    rows, numbers = bytearray(), []  # it grows in place; joining a list of rows would copy them
    with closing(backbone.features(frames, snippet_s)) as described:  # it may read `frames` in a thread, which ends here
        for number, row in described:
            rows += row.tobytes()
            numbers.append(number)
            if seen is not None:
                seen(number)
    starts = np.array(numbers, np.float64) * snippet_s
    values = np.frombuffer(rows, np.float32).reshape(len(numbers), -1)
    return Gathered(values, np.stack([starts, starts + snippet_s], axis=1), None)
