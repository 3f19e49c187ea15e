"""Blobs of successive frames joined into tracks, and what a track did within one snippet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.blobs import MATCHED, SILHOUETTE_COLUMNS, SILHOUETTE_ROWS, Blob
from wsra.runtime.backbones.colours import COLOURS

FORGET_S = 0.8  # a track that was not seen for so long has ended
REACH = 0.12  # how far a blob may jump between frames, as a share of the frame's width, beyond half its own size

# What is said of one object in one snippet; the mean over its frames unless stated.
OBJECT_NAMES: tuple[str, ...] = (
    "presence",  # share of the snippet's frames in which it is seen
    "x",
    "foot",
    "width",
    "height",
    "log aspect",  # ln(width / height) in pixels, halved
    "root area",  # square root of its share of the frame
    "cut",  # share of its frames in which the frame's edge cuts it
    "rightward",  # frame widths per second, 0 when it moves left
    "leftward",
    "up or down",  # of its foot, frame heights per second, signed; positive towards the camera
    "stride",  # speed in own heights per second
    "still",  # 1 when it moves less than 0.1 own heights per second
    *(f"silhouette {row}.{column}" for row in range(SILHOUETTE_ROWS) for column in range(SILHOUETTE_COLUMNS)),
    *(f"{part} {colour}" for part in MATCHED for colour in COLOURS),
)


@dataclass
class Track:
    """One object over time.

    Attributes:
        seen: (time in seconds, blob) of the current snippet.
        last: the last observation of all, also from the snippet before.
        before: the last observation of the snippet before, where velocity starts.
    """

    seen: list[tuple[float, Blob]] = field(default_factory=list)
    last: tuple[float, Blob] | None = None
    before: tuple[float, Blob] | None = None


class Tracker:
    """Joins each blob to the nearest track of about its size; ties go to the larger blob."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._frames = 0

    def add(self, time_s: float, blobs: list[Blob]) -> None:
        """Take the blobs of one frame, the largest first."""
        self._frames += 1
        free = [track for track in self._tracks if track.last is not None and time_s - track.last[0] <= FORGET_S]
        for blob in blobs:
            nearest = min(free, key=lambda track: _distance(track, blob), default=None)
            if nearest is None or _distance(nearest, blob) > 1.0:
                nearest = Track()
                self._tracks.append(nearest)
            else:
                free.remove(nearest)
            nearest.seen.append((time_s, blob))
            nearest.last = (time_s, blob)

    def close_snippet(self) -> list[NDArray[np.float32]]:
        """End the snippet.

        Returns:
            One vector (len(OBJECT_NAMES),) per object seen in it, the most prominent (area times presence) first.
        """
        objects = [(_prominence(track), _describe(track, self._frames)) for track in self._tracks if track.seen]
        for track in self._tracks:
            track.before, track.seen = track.last, []
        self._tracks = [t for t in self._tracks if t.last is not None]
        newest_s = max((t.last[0] for t in self._tracks if t.last), default=0.0)
        self._tracks = [t for t in self._tracks if t.last and newest_s - t.last[0] <= FORGET_S]
        self._frames = 0
        objects.sort(key=lambda pair: -pair[0])
        return [vector for _, vector in objects]


def _distance(track: Track, blob: Blob) -> float:
    """Below 1 when the blob may belong to the track."""
    assert track.last is not None
    other = track.last[1]
    reach = REACH + (blob.width + other.width) / 4
    jump = max(abs(blob.x - other.x), abs(blob.foot - other.foot) / 1.5) / reach
    return jump + 0.5 * abs(float(np.log(blob.area / other.area))) / 1.5


def _prominence(track: Track) -> float:
    return sum(blob.area for _, blob in track.seen)


def _describe(track: Track, frames: int) -> NDArray[np.float32]:
    blobs = [blob for _, blob in track.seen]
    start_s, start = track.before if track.before is not None else track.seen[0]
    end_s, end = track.seen[-1]
    elapsed_s = max(end_s - start_s, 0.25)
    right, down = (end.x - start.x) / elapsed_s, (end.foot - start.foot) / elapsed_s
    height = float(np.mean([blob.height for blob in blobs]))
    stride = float(np.hypot(right * end.aspect * end.height / max(end.width, 1e-3), down)) / max(height, 0.02)
    numbers = [
        min(1.0, len(blobs) / max(frames, 1)),
        float(np.mean([blob.x for blob in blobs])),
        float(np.mean([blob.foot for blob in blobs])),
        float(np.mean([blob.width for blob in blobs])),
        height,
        float(np.mean([np.log(blob.aspect) for blob in blobs])) / 2,
        float(np.mean([np.sqrt(blob.area) for blob in blobs])),
        float(np.mean([blob.cut for blob in blobs])),
        max(0.0, right),
        max(0.0, -right),
        float(np.clip(down, -1, 1)),
        min(stride, 4.0),
        float(stride < 0.1),
    ]
    silhouette = np.mean([blob.silhouette for blob in blobs], axis=0)
    colours = np.mean([blob.colours for blob in blobs], axis=0).reshape(-1)
    return np.concatenate([np.array(numbers, np.float32), silhouette, colours]).astype(np.float32)
