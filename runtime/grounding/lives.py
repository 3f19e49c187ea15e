"""Lives of tracked objects: tracks of consecutive files joined into one set of lives, the score of each life, and the best of them.

A track continues over a boundary when both parts are of one file, or when the later file was extracted with `--continue` from the state of
the camera at the end of the earlier one and records that. Where the later file does not know the earlier one, a track continues when the
other begins where it was expected.

Shapes: R rows, N tracks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.spans.moments import NMS_IOU, best_first, iou

if TYPE_CHECKING:
    from wsra.runtime.formats.features import Features
    from wsra.runtime.grounding.recording import Part

EDGE_S = 1.5  # a life that ends, or begins, so near to a boundary may reach over it
LINK_S = 3.0  # for so long it may be unseen there
NEAR, ALIKE = 1.0, 2.0  # how far it may be from where it was expected, in its own sizes, and by what factor its size may change

Array = NDArray[np.float64]
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Lives:
    """The tracks of a recording on its clock.

    Attributes:
        of_row: (R,) int64 number of the track of each row, in [0, N).
        lives_s: (N, 2) when each came and went, in seconds of the recording.
        numbers: (N,) what each is called in the file in which it begins.
        best_s: (N,) time of its best view.
        boxes: (N, 4) its box there: left, top, right, bottom as shares of the picture.
    """

    of_row: NDArray[np.int64]
    lives_s: Array
    numbers: NDArray[np.int64]
    best_s: Array
    boxes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lives_s)

    @cached_property
    def _grouped(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows ordered by track, the place at which each track begins in that order, and how many rows each has."""
        order = np.argsort(self.of_row, kind="stable")
        counts = np.bincount(self.of_row, minlength=len(self))
        return order, np.cumsum(counts) - counts, counts

    def scores(self, logits: NDArray[np.floating]) -> Array:
        """The score of each life, without theta: the logarithm of the mean of exp(logit) over its rows.

        Of the compared ways to sum up the rows of a life, this and the maximum rank best; a sum favours whoever stays long
        (docs/measurements/grounding.md).

        Args:
            logits: (R,) of each row for one sentence.

        Returns:
            (N,) float64; NaN where a row is NaN.
        """
        if len(self) == 0:
            return np.zeros(0)
        order, first, counts = self._grouped
        rows = logits[order].astype(np.float64)
        largest = np.maximum.reduceat(rows, first)
        sums = np.add.reduceat(np.exp(rows - np.repeat(largest, counts)), first)
        return np.asarray(largest + np.log(sums / counts))


def best_lives(lives: Lives, scores: Array, *, top_k: int, above: float = -np.inf, limit: float = NMS_IOU) -> NDArray[np.int64]:
    """Temporal non-maximum suppression among lives: keep the best, drop what overlaps it by more than `limit`, and so on.

    Args:
        lives: the candidates.
        scores: (N,) of each.
        top_k: how many to keep at most; fewer of them are the first of more.
        above: only lives that score more are kept.
        limit: IoU above which the lower-scored life is dropped.

    Returns:
        Their places among the candidates, best first; of equal scores the earlier one.
    """
    order = best_first(scores)
    waiting = order[scores[order] > above]
    kept: list[int] = []
    while len(waiting) and len(kept) < top_k:
        kept.append(int(waiting[0]))
        waiting = waiting[1:][iou(lives.lives_s[waiting[1:]], lives.lives_s[kept[-1]]) <= limit]
    return np.array(kept, np.int64)


@dataclass(frozen=True)
class Piece:
    """The n tracks of one part with r rows, on the clock of the recording; holds no file open.

    Attributes:
        file: which file it is of.
        from_state, to_state: digests of the states of the camera that the file began and ended with; empty where there were none.
        span_s: when the part begins and ends.
        numbers: (n,) what its tracks are called in the file.
        of_row: (r,) track of each row, in [0, n).
        lives_s, best_s, boxes: (n, ...) as of `Lives`.
        first_rows, last_rows: (n, 4) box of the first and the last row of each.
        speeds: (n, 2) of its middle at the end, shares of the picture per second.
        continues: (n,) as in the file.
    """

    file: object
    from_state: str
    to_state: str
    span_s: tuple[float, float]
    numbers: NDArray[np.int64]
    of_row: NDArray[np.int64]
    lives_s: NDArray[np.float64]
    best_s: NDArray[np.float64]
    boxes: Boxes
    first_rows: Boxes
    last_rows: Boxes
    speeds: NDArray[np.float64]
    continues: NDArray[np.int64]


def joined_lives(pieces: Sequence[Piece]) -> Lives:
    """Lives of the parts of a recording, in order of time."""
    cut = {file: dict[int, int]() for file, times in Counter(piece.file for piece in pieces).items() if times > 1}
    names: list[NDArray[np.int64]] = []
    count = 0
    for place, piece in enumerate(pieces):
        known = cut.get(piece.file, {})  # number in the file -> in the recording
        own = np.array([known.get(number, -1) for number in piece.numbers.tolist()] if known else [-1] * len(piece.numbers), np.int64)
        if place and piece.file != pieces[place - 1].file:
            for before, after in _links(pieces[place - 1], piece):
                own[after] = names[-1][before]
        new = own < 0
        own[new] = count + np.arange(int(new.sum()))
        count += int(new.sum())
        names.append(own)
        if piece.file in cut:
            known.update(zip(piece.numbers.tolist(), own.tolist(), strict=True))
    return _merged(pieces, names, count)


def piece_of(part: Part, features: Features, begin_s: float) -> Piece:
    """The tracks that have a row in a part; what of a life lies beyond the part is cut off."""
    tracks = features.tracks
    assert tracks is not None
    shift = begin_s - part.from_s
    rows = slice(part.first, part.last)
    numbers, of_row = np.unique(tracks.of_row[rows].astype(np.int64), return_inverse=True)
    boxes, times = tracks.boxes[rows], features.times_s[rows]
    order = np.argsort(of_row, kind="stable")
    ends = np.searchsorted(of_row[order], np.arange(len(numbers)), "right")
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(numbers)]
    last, first = order[ends - 1], order[starts]
    before = order[np.maximum(ends - 2, starts)]
    elapsed = np.maximum(times[last].mean(axis=1) - times[before].mean(axis=1), 0.25)[:, None]
    best_s, best_boxes = _best_views(tracks, numbers, part)
    unseen = np.isnan(best_s)
    best_s = np.where(unseen, times[first].mean(axis=1), best_s)
    lives_s = np.clip(tracks.lives_s[numbers], part.from_s, part.to_s)
    return Piece(
        features.path or id(features),
        features.extra.get("continues", ""),
        features.extra.get("camera_sha256", ""),
        (begin_s, begin_s + part.to_s - part.from_s),
        numbers,
        of_row.reshape(-1).astype(np.int64),
        lives_s + shift,
        best_s + shift,
        np.where(unseen[:, None], boxes[first], best_boxes).astype(np.float32),
        boxes[first],
        boxes[last],
        (_middles(boxes[last]) - _middles(boxes[before])) / elapsed,
        tracks.continues[numbers].astype(np.int64),
    )


def _best_views(tracks: Tracks, numbers: NDArray[np.int64], part: Part) -> tuple[NDArray[np.float64], Boxes]:
    """Time and box of the best view of each track within a part; NaN where it has none there."""
    times, boxes = np.full(len(numbers), np.nan), np.zeros((len(numbers), 4), np.float32)
    inside = np.flatnonzero((tracks.views_s >= part.from_s) & (tracks.views_s < part.to_s))
    seen, first = np.unique(tracks.view_of[inside], return_index=True)  # the best of a track comes first
    places = np.searchsorted(numbers, seen)
    here = np.append(numbers, -1)[places] == seen  # the others have no row here
    times[places[here]] = tracks.views_s[inside[first[here]]]
    boxes[places[here]] = tracks.view_boxes[inside[first[here]]]
    return times, boxes


def _links(one: Piece, other: Piece) -> list[tuple[int, int]]:
    """Pairs of tracks, of a part and of the next, which is of another file, that are one."""
    if other.from_state and other.from_state == one.to_state:
        places = {number: place for place, number in enumerate(one.numbers.tolist())}
        return [(places[number], place) for place, number in enumerate(other.continues.tolist()) if number in places]
    return _near(one, other)


def _near(one: Piece, other: Piece) -> list[tuple[int, int]]:
    """Those that begin where others were about to be; the nearest pairs first."""
    leaving = np.flatnonzero(one.lives_s[:, 1] >= one.span_s[1] - EDGE_S)
    coming = np.flatnonzero(other.lives_s[:, 0] <= other.span_s[0] + EDGE_S)
    pairs = []
    for i in leaving.tolist():
        for k in coming.tolist():
            gap_s = float(other.lives_s[k, 0] - one.lives_s[i, 1])
            size, new = (np.maximum(box[2:] - box[:2], 1e-3) for box in (one.last_rows[i], other.first_rows[k]))
            expected = _middles(one.last_rows[i]) + one.speeds[i] * (max(gap_s, 0.0) + 0.5)
            apart = float((np.abs(_middles(other.first_rows[k]) - expected) / np.maximum(size, new)).max())
            if gap_s <= LINK_S and apart <= NEAR and (np.maximum(size / new, new / size) <= ALIKE).all():
                pairs.append((apart, i, k))
    taken: list[tuple[int, int]] = []
    for _, i, k in sorted(pairs):
        if all(i != one_place and k != other_place for one_place, other_place in taken):
            taken.append((i, k))
    return taken


def _middles(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2, np.float64)


def _merged(pieces: Sequence[Piece], names: Sequence[NDArray[np.int64]], count: int) -> Lives:
    lives_s = np.tile([np.inf, -np.inf], (count, 1))
    numbers, best_s, boxes = np.full(count, -1, np.int64), np.zeros(count), np.zeros((count, 4), np.float32)
    for piece, own in zip(reversed(pieces), reversed(names), strict=True):  # what a life is called where it begins is written last
        lives_s[own, 0] = np.minimum(lives_s[own, 0], piece.lives_s[:, 0])
        lives_s[own, 1] = np.maximum(lives_s[own, 1], piece.lives_s[:, 1])
        better = (numbers[own] < 0) | (_areas(piece.boxes) >= _areas(boxes[own]))
        best_s[own[better]], boxes[own[better]] = piece.best_s[better], piece.boxes[better]
        numbers[own] = piece.numbers
    of_row = [own[piece.of_row] for piece, own in zip(pieces, names, strict=True)]
    return Lives(np.concatenate(of_row), lives_s, numbers, best_s, boxes)


def _areas(boxes: Boxes) -> NDArray[np.float32]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
