"""Linking tracks over gaps of seconds: which new track continues which lost track."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wsra.runtime.backbones.tracking.boxes import area, centre, overlap
from wsra.runtime.backbones.tracking.tracks import Track

GAP_S = 4.0  # the longest
_SHORT_S = 0.8  # over such a short gap, tracks are linked even at the frame's edge
_AHEAD_S = 3.0
_REACH, _REACH_WIDTH, _REACH_GAP = 0.04, 0.5, 0.05  # frame widths; of its own width; frame widths for each second
_DOWNWARD = 1.5
_SIZE, _COLOUR, _CLASS, _GAP = 0.4, 2.0, 0.6, 0.08  # costs of differences
_DEAREST = 1.3
_SAME_PLACE = 0.5  # of the smaller box


def links(ended: Iterable[Track], begun: Iterable[Track]) -> list[tuple[Track, Track]]:
    """Pairs of tracks in which the later continues the earlier, most likely first; no track has the same role in two pairs.

    Args:
        ended: tracks that have ended and that no track continues yet.
        begun: later tracks that are not decided yet.
    """
    later = list(begun)
    pairs = [(cost, first, second) for first in ended for second in later if (cost := _cost(first, second)) is not None]
    pairs.sort(key=lambda pair: (pair[0], pair[1].number, pair[2].number))
    taken: set[tuple[str, int]] = set()
    found = []
    for _, first, second in pairs:
        roles = {("ended", first.number), ("begun", second.number)}
        if not roles & taken:
            taken |= roles
            found.append((first, second))
    return found


def _cost(first: Track, second: Track) -> float | None:
    """The cost of linking them; None if they cannot be the same object."""
    (end_s, end, _), (start_s, start, _) = first.profile.last, second.profile.first
    gap_s = start_s - end_s
    if not 0 < gap_s <= GAP_S or (gap_s > _SHORT_S and (first.is_leaving() or second.is_entering())):
        return None
    ahead = first.profile.pace() * min(gap_s, _AHEAD_S)
    aside = min(
        abs(centre(start) - centre(end) - ahead),
        abs(centre(start) - centre(end)),
        abs(start[0] - end[0] - ahead),
        abs(start[2] - end[2] - ahead),
    )
    below = min(abs(start[3] - end[3]), abs(start[1] - end[1])) / _DOWNWARD
    wide = max(end[2] - end[0], start[2] - start[0])
    far = max(aside, below) / (_REACH + _REACH_WIDTH * wide + _REACH_GAP * gap_s)
    before = np.median([size for _, size, _ in list(first.profile.closing)[-6:]])
    after = np.median([size for size, _ in second.profile.opening])
    colours = 0.5 * float(np.abs(first.profile.mean_colours() - second.profile.mean_colours()).sum(axis=1).mean())
    classes = 0.5 * float(np.abs(first.label[:-1] - second.label[:-1]).sum())  # 0 without a detector
    cost = far + _SIZE * abs(float(np.log(before / after))) + _COLOUR * colours + _CLASS * classes + _GAP * gap_s
    if gap_s <= _SHORT_S and overlap(end, start) >= _SAME_PLACE * min(area(end), area(start)):
        cost = min(cost, 0.9 * _DEAREST)
    return cost if far <= 1.0 and cost <= _DEAREST else None
