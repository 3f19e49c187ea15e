"""Assigning the blobs of a frame to tracks, by predicted position, size and colour, for all pairs at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from wsra.runtime.backbones.tracking.blobs import Blob, Piece, united
from wsra.runtime.backbones.tracking.boxes import Boxes, areas, clipped, grown, overlaps, stacked
from wsra.runtime.backbones.tracking.tracks import Track

_REACH_NEW, _REACH = 0.12, 0.05  # allowed distance from the expected position, in frame widths; a track seen once has no speed yet
_REACH_SPEED = 0.3  # plus this fraction of its movement in the elapsed time
_REACH_UNSEEN = 0.04  # plus this for each second without an observation
_STEP_S = 0.25
_DOWNWARD = 1.5  # weight of vertical against horizontal distance
_FARTHEST, _DEAREST = 1.2, 1.9  # limits for the distance in reaches and for the total cost
_SHARED_MORE = 0.5  # added to both limits for a track that leaves a shared blob
_SIZE, _COLOUR, _SHARED_COLOUR = 0.33, 1.2, 1.8  # costs of differences
_CLASS = 0.8  # cost of another class, with a detector
_UNSEEN = 0.3  # cost of each second without an observation
_NEVER = 50.0

_FRAGMENT_ALONE = 3  # observations before the size of a track is known well enough
_FRAGMENT_S = 0.8
_FRAGMENT_MARGIN, _FRAGMENT_INSIDE, _CLAIMED = 0.15, 0.75, 0.5

_INSIDE = 0.6  # fraction of a track's predicted box that lies inside a blob
_INSIDE_S = 1.3
HOLD_S = 4.0  # limit for tracks to stay within one blob
_LARGER = 1.15  # a blob that is larger than its largest track by this factor holds several tracks


def predicted_boxes(tracks: Sequence[Track], time_s: float) -> Boxes:
    """(N, 4) expected boxes of tracks."""
    return stacked([track.predicted(time_s) for track in tracks])


def without_fragments(pieces: list[Piece], tracks: Sequence[Track], time_s: float, shape: tuple[int, ...]) -> list[Piece]:
    """Merge the pieces inside one track's predicted box, such as feet below a lost waist.

    Args:
        pieces: pieces of one frame.
        tracks: active tracks.
        time_s: time of the frame.
        shape: height and width of the frame in pixels.

    Returns:
        The pieces; merged ones come last.
    """
    if len(pieces) < 2 or not tracks:
        return pieces
    boxes = stacked([_box_of(piece, shape) for piece in pieces])
    expected, shares = predicted_boxes(tracks, time_s), np.array([piece.area for piece in pieces]) / (shape[0] * shape[1])
    inside = overlaps(grown(expected, _FRAGMENT_MARGIN), boxes) >= _FRAGMENT_INSIDE * areas(boxes)
    claims = overlaps(expected, boxes) > _CLAIMED * areas(expected)[:, None]
    free, groups = np.ones(len(pieces), bool), []
    for index in sorted(range(len(tracks)), key=lambda index: -tracks[index].area):
        track = tracks[index]
        if track.alone < _FRAGMENT_ALONE or time_s - track.time_s > _FRAGMENT_S or track.shared:
            continue
        own = np.flatnonzero(inside[index] & free)
        if len(own) < 2 or np.delete(claims[:, own], index, axis=0).any():
            continue
        if abs(np.log(shares[own].sum() / track.area)) < abs(np.log(shares[own].max() / track.area)):
            free[own] = False
            groups.append(united([pieces[i] for i in own]))
    return [piece for piece, alone in zip(pieces, free, strict=True) if alone] + groups


def _box_of(piece: Piece, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    height, width = shape[:2]
    return piece.left / width, piece.top / height, (piece.left + piece.width) / width, (piece.top + piece.height) / height


def assigned(tracks: Sequence[Track], blobs: Sequence[Blob], time_s: float) -> dict[int, int]:
    """The cheapest assignment in which no track jumps or changes its size or colours implausibly.

    Args:
        tracks: active tracks.
        blobs: blobs of the frame.
        time_s: time of the frame.

    Returns:
        Index of a blob -> index of its track.
    """
    if not tracks or not blobs:
        return {}
    cost = _costs(tracks, blobs, time_s)
    rows, columns = linear_sum_assignment(cost)
    return {int(column): int(row) for row, column in zip(rows, columns, strict=True) if cost[row, column] < _NEVER}


def _costs(tracks: Sequence[Track], blobs: Sequence[Blob], time_s: float) -> NDArray[np.float64]:
    """(N, M) costs; `_NEVER` if a blob cannot belong to a track."""
    boxes = stacked([blob.box for blob in blobs])
    shared = np.array([track.shared for track in tracks])
    unseen_s = np.array([time_s - track.time_s for track in tracks])
    far = _distances(tracks, boxes, time_s, shared, unseen_s)
    sizes = np.abs(np.log(np.array([blob.area for blob in blobs])[None] / np.array([track.area for track in tracks])[:, None]))
    cut = (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2:] >= 1).any(axis=1)
    usual, seen = np.stack([track.colours for track in tracks]), np.stack([blob.colours for blob in blobs])
    colours = 0.5 * np.abs(usual[:, None] - seen[None]).sum(axis=3).mean(axis=2)
    cost = far + _SIZE * np.where(cut, 0.5, 1.0) * sizes + np.where(shared, _SHARED_COLOUR, _COLOUR)[:, None] * colours
    cost = cost + _CLASS * _class_differences(tracks, blobs)
    more = _SHARED_MORE * shared[:, None]
    possible = (far <= _FARTHEST + more) & (cost <= _DEAREST + more)
    return np.where(possible, cost + _UNSEEN * np.minimum(2.0, unseen_s)[:, None], _NEVER)


def _class_differences(tracks: Sequence[Track], blobs: Sequence[Blob]) -> NDArray[np.float64]:
    """(N, M) from 0 for the same class to 1 for different ones; 0 without a detector. The last number of a label is its score."""
    usual, seen = np.stack([track.label for track in tracks]), np.stack([blob.label for blob in blobs])
    return np.asarray(0.5 * np.abs(usual[:, None, :-1] - seen[None, :, :-1]).sum(axis=2))


def _distances(
    tracks: Sequence[Track], boxes: Boxes, time_s: float, shared: NDArray[np.bool_], unseen_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N, M) distances from the expected position, in reaches. Since edges may be cut, the nearest of centre, left and right counts."""
    expected = predicted_boxes(tracks, time_s)
    wide = np.array([track.size[0] for track in tracks])
    speed = np.array([abs(track.speed[0]) for track in tracks])
    known = _REACH + _REACH_SPEED * np.minimum(unseen_s, 2.0) * speed
    reach = np.where([track.alone < 2 for track in tracks], _REACH_NEW, known) + shared * wide / 2
    reach = reach + _REACH_UNSEEN * np.maximum(0.0, unseen_s - _STEP_S)
    between = np.abs(expected[:, None] - boxes[None])
    middle = np.abs((expected[:, None, 0] + expected[:, None, 2]) - (boxes[None, :, 0] + boxes[None, :, 2])) / 2
    across = np.minimum(middle, np.minimum(between[..., 0], between[..., 2]))
    down = np.minimum(between[..., 1], between[..., 3]) / _DOWNWARD
    return np.asarray(np.maximum(across, down) / (reach[:, None] + (wide[:, None] + (boxes[:, 2] - boxes[:, 0])[None]) / 4))


def shared_blobs(tracks: Sequence[Track], blobs: Sequence[Blob], time_s: float, given: dict[int, int]) -> dict[int, list[int]]:
    """Blobs that hold several tracks: people who meet.

    A track that has been inside a shared blob for `HOLD_S` is given up, starting with the one that has the fewest observations.

    Args:
        tracks: active tracks.
        blobs: blobs of the frame.
        time_s: time of the frame.
        given: index of a blob -> index of its track; modified when a track is given up.

    Returns:
        Index of a blob -> indices of the two or more tracks inside it.
    """
    if len(tracks) < 2 or not blobs:
        return {}
    expected = predicted_boxes(tracks, time_s)
    boxes = stacked([blob.box for blob in blobs])
    held = stacked([track.box if track.shared else box for track, box in zip(tracks, expected, strict=True)])
    share = np.maximum(*(overlaps(places, boxes) / areas(clipped(places))[:, None] for places in (expected, held)))
    of_track, found = {track: blob for blob, track in given.items()}, {}
    for number, blob in enumerate(blobs):
        inside = [
            index
            for index, track in enumerate(tracks)
            if share[index, number] >= _INSIDE
            and track.alone >= 2
            and time_s - track.time_s <= _INSIDE_S
            and of_track.get(index, number) == number
        ]
        if number in given and given[number] not in inside:
            inside.append(given[number])
        inside = _without_given_up(tracks, inside, time_s, number, given)
        if len(inside) >= 2 and _is_shared(blob, [tracks[index] for index in inside]):
            found[number] = inside
    return found


def _without_given_up(tracks: Sequence[Track], inside: list[int], time_s: float, number: int, given: dict[int, int]) -> list[int]:
    while len(inside) >= 2:
        late = [index for index in inside if tracks[index].shared and time_s - tracks[index].alone_s > HOLD_S]
        if not late:
            break
        least = min(late, key=lambda index: tracks[index].alone * tracks[index].area)
        tracks[least].given_up = True
        inside = [index for index in inside if index != least]
        if given.get(number) == least or (number not in given and len(inside) == 1):
            given[number] = max(inside, key=lambda index: tracks[index].area)
    return inside


def _is_shared(blob: Blob, inside: Sequence[Track]) -> bool:
    """Whether the blob's area is closer to the sum of all tracks than to the largest one, or it was shared before."""
    total, largest = sum(track.area for track in inside), max(track.area for track in inside)
    nearer = abs(np.log(blob.area / total)) < abs(np.log(blob.area / largest))
    return bool(nearer or blob.area > _LARGER * largest or sum(track.shared for track in inside) >= 2)
