"""95 % intervals of figures, by the bootstrap over videos: queries of one video are not independent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
_BYTES = 64_000_000  # of counts held at a time


def intervals(scores: Mapping[str, Array], videos: Sequence[str], *, seed: int) -> dict[str, tuple[float, float]]:
    """Percentiles 2.5 and 97.5 of each figure over 2000 samples of as many videos, drawn with replacement.

    Args:
        scores: per figure (Q,) values in [0, 1].
        videos: per query its video.
        seed: of the drawing.

    Returns:
        Low and high ends in percent with three decimals.
    """
    names, place = np.unique(np.asarray(videos), return_inverse=True)
    values = np.stack([np.ones(len(videos)), *scores.values()], axis=1)
    totals = np.zeros((len(names), values.shape[1]))
    np.add.at(totals, place, values)
    rng = np.random.default_rng(seed)
    at_once = max(1, _BYTES // (8 * len(names)))
    sums = np.concatenate(
        [
            rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(at_once, RESAMPLES - start)) @ totals
            for start in range(0, RESAMPLES, at_once)
        ]
    )
    low, high = np.percentile(100 * sums[:, 1:] / sums[:, :1], [2.5, 97.5], axis=0)
    return {name: (round(float(low[i]), 3), round(float(high[i]), 3)) for i, name in enumerate(scores)}
