"""Trackers: that of the `motion` backbone, and two libraries on the same foreground blobs with the same minimal rules.

pip install --no-deps --target LIBRARIES supervision==0.26.1 norfair filterpy defusedxml    # then PYTHONPATH=...:LIBRARIES
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.blobs import Piece, find_pieces, united
from wsra.runtime.backbones.tracking.motion import WARM_UP_S, first_background, object_rows
from wsra.runtime.backbones.tracking.profile import Profile, begun
from wsra.runtime.backbones.tracking.tracker import FRAME_S, LEAST_MOVED, LEAST_SEEN
from wsra.runtime.video.frames import Frame

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]
Seen = list[tuple[float, list[Piece], tuple[int, ...]]]  # time, blobs and shape of each frame
GAP_S, COAST_S = 4.0, 1.3  # how long a library keeps a lost track; both values are tried


@dataclass(frozen=True)
class Found:
    """Tracks and their rows.

    Attributes:
        lives_s: (N, 2) start and end of each track in seconds.
        of_row: (R,) track of each row.
        times_s: (R, 2) start and end of each row in seconds.
        boxes: (R, 4) mean box of each row, left, top, right, bottom as shares of the picture.
    """

    lives_s: Array
    of_row: NDArray[np.int32]
    times_s: Array
    boxes: Array


def ours(frames: list[Frame]) -> Found:
    """Track as `wsra extract` does."""
    objects = object_rows(iter(frames), 1.0)
    return Found(objects.tracks.lives_s, objects.tracks.of_row, objects.times_s, objects.tracks.boxes.astype(np.float64))


class Follower(Protocol):
    """A library's tracker: maps boxes (N, 4) of one frame, in pixels, to (identity, index of the box) of those it tracks."""

    def __call__(self, boxes: Array) -> Iterator[tuple[int, int]]:
        """Process the next frame."""


def byte_track(keep_s: float) -> Follower:
    """ByteTrack from supervision, with full confidence in every box."""
    supervision = import_module("supervision")
    rate = round(1 / FRAME_S)
    tracker = supervision.ByteTrack(lost_track_buffer=round(keep_s * 30), minimum_matching_threshold=0.95, frame_rate=rate)

    def follow(boxes: Array) -> Iterator[tuple[int, int]]:
        count = len(boxes)
        detections = supervision.Detections(
            xyxy=boxes.reshape(-1, 4).astype(np.float32),
            confidence=np.full(count, 0.9, np.float32),
            class_id=np.zeros(count, int),
            data={"number": np.arange(count)},
        )
        seen = tracker.update_with_detections(detections)
        yield from zip(map(int, seen.tracker_id), map(int, seen.data.get("number", ())), strict=True)

    return follow


def norfair(keep_s: float) -> Follower:
    """Norfair with the mean distance of both corners in pixels, a Kalman filter on them, and no appearance model."""
    library: Any = import_module("norfair")
    logging.disable(logging.WARNING)  # norfair warns about this distance on every call
    tracker = library.Tracker("mean_euclidean", distance_threshold=40.0, hit_counter_max=round(keep_s / FRAME_S), initialization_delay=0)
    now = 0

    def follow(boxes: Array) -> Iterator[tuple[int, int]]:
        nonlocal now
        now += 1
        detections = [library.Detection(points=box.reshape(2, 2), data=(now, number)) for number, box in enumerate(boxes)]
        for thing in tracker.update(detections=detections):
            frame, number = thing.last_detection.data
            if frame == now:
                yield int(thing.global_id), number

    return follow


def followed(seen: Seen, follow: Follower, *, group: bool) -> Found:
    """Track blobs with a library; `group` first merges those that lie above one another."""
    observed: dict[int, list[tuple[float, Box, float]]] = defaultdict(list)
    for time_s, pieces, shape in seen:
        things = grouped(pieces, shape[0]) if group else pieces
        boxes = np.array([(p.left, p.top, p.left + p.width, p.top + p.height) for p in things], np.float64).reshape(-1, 4)
        scale = np.array([shape[1], shape[0], shape[1], shape[0]], np.float64)
        for identity, number in follow(boxes):
            left, top, right, bottom = map(float, boxes[number] / scale)
            observed[identity].append((time_s, (left, top, right, bottom), things[number].area / (shape[0] * shape[1])))
    return _with_least_rules(list(observed.values()))


def pieces_of_frames(frames: list[Frame]) -> Iterator[tuple[float, list[Piece], tuple[int, ...]]]:
    """Time, blobs and shape of each frame, with one background model for the whole video, as in the backbone."""
    background, last_s = first_background([frame for frame in frames if frame.time_s <= WARM_UP_S]), 0.0
    for frame in frames:
        image, foreground = background.subtract(frame.image, elapsed_s=frame.time_s - last_s)
        last_s = frame.time_s
        yield frame.time_s, find_pieces(image, foreground), foreground.shape


def grouped(pieces: list[Piece], rows: int) -> list[Piece]:
    """Merge blobs that lie above one another, less than a twentieth of the picture apart."""
    groups: list[Piece] = []
    for piece in pieces:
        while True:
            near = next((other for other in groups if _above(piece, other, 0.05 * rows)), None)
            if near is None:
                break
            groups.remove(near)
            piece = united([near, piece])
        groups.append(piece)
    return groups


def _above(one: Piece, other: Piece, apart: float) -> bool:
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = max(one.top, other.top) - min(one.top + one.height, other.top + other.height)
    return across >= 0.5 * min(one.width, other.width) and down <= apart


def _with_least_rules(tracks: list[list[tuple[float, Box, float]]]) -> Found:
    """Tracks that were seen often enough and moved, with lives and rows as the backbone has them."""
    lives: list[tuple[float, float]] = []
    of_row, times, boxes = [], [], []
    for seen in tracks:
        profile = _profile(seen)
        if len(seen) < LEAST_SEEN or profile.moved() < LEAST_MOVED:
            continue
        start_s, end_s = profile.between()
        seconds: dict[int, list[tuple[float, Box, float]]] = defaultdict(list)
        for observation in seen:
            seconds[int(observation[0] + 1e-6)].append(observation)
        for own in seconds.values():
            of_row.append(len(lives))
            times.append((own[0][0], own[-1][0] + FRAME_S))
            boxes.append(np.mean([box for _, box, _ in own], axis=0))
        lives.append((start_s, end_s + FRAME_S))
    as_rows = (np.array(values, np.float64).reshape(-1, width) for values, width in ((lives, 2), (times, 2), (boxes, 4)))
    lives_s, times_s, row_boxes = as_rows
    return Found(lives_s, np.array(of_row, np.int32), times_s, row_boxes)


def _profile(seen: list[tuple[float, Box, float]]) -> Profile:
    colours = np.zeros((3, 15), np.float32)
    (time_s, box, area), *rest = seen
    profile = begun(time_s, box, area, colours)
    for time_s, box, area in rest:
        profile.see(time_s, box, area, colours)
    return profile


def libraries() -> dict[str, Callable[[Seen], Found]]:
    """Trackers by name, one per library and setting."""

    def way(make: Callable[[float], Follower], keep_s: float, group: bool) -> Callable[[Seen], Found]:
        return lambda seen: followed(seen, make(keep_s), group=group)

    made = {"ByteTrack": byte_track, "norfair": norfair}
    return {
        f"{name}, {keep_s:g} s{', grouped' if group else ''}": way(make, keep_s, group)
        for name, make in made.items()
        for keep_s in (COAST_S, GAP_S)
        for group in (False, True)
    }
