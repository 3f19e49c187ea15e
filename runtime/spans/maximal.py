"""All maximal scoring subsequences of a video's snippets, in linear time (Ruzzo and Tompa, ISMB 1999).

They are disjoint and need no plan and no maximum length; each has a positive score that no extension or part of it exceeds. Shapes: T
snippets, N spans, R runs of snippets with evidence for the sentence.
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
        logits: (T,) logits of the query.
        theta: logit at which a snippet is neither evidence for nor against the sentence.

    Returns:
        (N, 2) positions in chronological order, and their (N,) scores.
    """
    excess = logits.astype(np.float64) - theta
    return maximal_of(excess, running_sums(excess))


def maximal_of(excess: Array, running: Array, *, compiled: bool = False) -> tuple[Array, Array]:
    """Maximal spans from logits minus theta (T,) and their running sums (T + 1,).

    A run of positive numbers is one candidate: no maximal subsequence starts or ends inside a run.

    Args:
        excess: (T,).
        running: (T + 1,).
        compiled: whether to run the search compiled by numba.
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
    counted = scores > 0  # next to the sum over a day, a tiny number may add nothing
    return positions[counted].astype(np.float64), scores[counted]


def search(lows: Any, highs: Any, starts: Any, ends: Any, links: Any) -> int:
    """The search over runs, on lists in Python and on arrays when compiled by numba.

    Args:
        lows: (R,) running sums where each run starts.
        highs: (R,) where it ends.
        starts: (R,) output: the first run of each span.
        ends: (R,) output: the last run of each span.
        links: (R,) output: the nearest earlier span with a smaller left sum, the chain that the linear-time search follows.

    Returns:
        The number of spans.
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
