"""Frames to snippets: which frames belong to a snippet, and which represent it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeVar

import numpy as np

from wsra.runtime.video.frames import Frame

_EDGE_S = 1e-6  # timestamps are rounded; a frame this close before a snippet belongs to it

AnyFrame = TypeVar("AnyFrame", bound=Frame)


def number_of(time_s: float, snippet_s: float) -> int:
    """The snippet k, [k * snippet_s, (k + 1) * snippet_s), to which a frame belongs."""
    return int(np.floor((time_s + _EDGE_S) / snippet_s))


def by_snippet(frames: Iterable[AnyFrame], snippet_s: float) -> Iterator[tuple[int, Iterator[AnyFrame]]]:
    """Group frames by snippet; each group must be read before the next.

    Args:
        frames: in presentation order.
        snippet_s: length of a snippet in seconds.

    Yields:
        (k, frames of [k * snippet_s, (k + 1) * snippet_s)); snippets without a frame are left out.
    """
    return groupby(frames, lambda frame: number_of(frame.time_s, snippet_s))


def uniform(frames: Iterable[AnyFrame], number: int, snippet_s: float, *, count: int) -> list[AnyFrame]:
    """The frames nearest to the middles of `count` equal parts of a snippet; only these stay in memory.

    Args:
        frames: frames of the snippet, in presentation order; at least one.
        number: number of the snippet, k.
        snippet_s: length of a snippet in seconds.
        count: number of frames; if the snippet has fewer, some are repeated.

    Returns:
        `count` frames in presentation order.
    """
    targets = [(number + (part + 0.5) / count) * snippet_s for part in range(count)]
    best: list[AnyFrame] = []
    for frame in frames:
        best = best or [frame] * count
        nearer = (abs(frame.time_s - target) < abs(kept.time_s - target) for kept, target in zip(best, targets, strict=True))
        best = [frame if take else kept for take, kept in zip(list(nearer), best, strict=True)]
    return best


def frames_per_s(count: int, snippet_s: float) -> float:
    """Rate at which a video must be read so that `uniform` finds a frame near each middle."""
    return 2.0 * count / snippet_s
