"""All maximal scoring subsequences of a video's snippets, in linear time (Ruzzo and Tompa, ISMB 1999).

They are disjoint, need no plan and no longest length; each has a positive score that no extension or part of it exceeds. Shapes: T
snippets, N spans, R runs of snippets that speak for the sentence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.sums import running_sums

Array = NDArray[np.float64]


def maximal_spans(logits: NDArray[np.floating], theta: float) -> tuple[Array, Array]:
    """Maximal spans of one query.

    Args:
        logits: (T,) of the query.
        theta: the logit at which a snippet speaks neither for nor against.

    Returns:
        (N, 2) positions in order of time, and their (N,) scores.
    """
    excess = logits.astype(np.float64) - theta
    return maximal_of(excess, running_sums(excess))


def maximal_of(excess: Array, running: Array, *, compiled: bool = False) -> tuple[Array, Array]:
    """As `maximal_spans`, of (T,) logits less theta and their running sums (T + 1,).

    A run of positive numbers is one candidate: no maximal subsequence starts or ends within one.

    Args:
        excess: (T,).
        running: (T + 1,).
        compiled: run the same search compiled by numba.
    """
    turns = np.flatnonzero(np.diff(excess > 0, prepend=False, append=False))
    first, last = turns[::2], turns[1::2]
    lows, highs = running[first], running[last]
    if compiled:
        from wsra.runtime.spans.compiled import maximal

        starts, ends, links = (np.zeros(len(first), np.int64) for _ in range(3))
        count = maximal(lows, highs, starts, ends, links)
        starts, ends = starts[:count], ends[:count]
    else:
        kept: list[list[int]] = [[0] * len(first) for _ in range(3)]
        count = search(lows.tolist(), highs.tolist(), *kept)
        starts, ends = (np.array(numbers[:count], np.int64) for numbers in kept[:2])
    positions = np.stack([first[starts], last[ends]], axis=1)
    scores = running[positions[:, 1]] - running[positions[:, 0]]
    counted = scores > 0  # beside a day of large numbers a tiny one may add nothing
    return positions[counted].astype(np.float64), scores[counted]


def search(lows: Any, highs: Any, starts: Any, ends: Any, links: Any) -> int:
    """The search over runs; plain lists here, arrays where numba compiles it.

    Args:
        lows: (R,) running sums where each run starts.
        highs: (R,) where it ends.
        starts: (R,) room for the first run of each span.
        ends: (R,) for its last run.
        links: (R,) for the nearest earlier span whose left sum is smaller, the chain that the linear-time search follows.

    Returns:
        How many spans there are.
    """
    count = 0
    for run in range(len(lows)):
        start, earlier = run, count - 1
        while True:
            while earlier >= 0 and lows[starts[earlier]] >= lows[start]:
                earlier = links[earlier]
            if earlier < 0 or highs[ends[earlier]] >= highs[run]:
                break
            start, count = starts[earlier], earlier
            earlier = links[earlier]
        starts[count], ends[count], links[count] = start, run, earlier
        count += 1
    return count
