"""Tracked objects: which rows belong to which track, when each track starts and ends, and its best views.

Shapes: R rows, N tracks, V views. Boxes are left, top, right, bottom as fractions of the picture, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.limits import MOST_S

TENSORS = {  # attribute -> its name in a .feat file, its type, and the shape of an entry
    "of_row": ("tracks", np.int32, ()),
    "boxes": ("boxes", np.float32, (4,)),
    "lives_s": ("lives_s", np.float64, (2,)),
    "continues": ("continues", np.int32, ()),
    "view_of": ("view_tracks", np.int32, ()),
    "views_s": ("views_s", np.float64, ()),
    "view_boxes": ("view_boxes", np.float32, (4,)),
}


@dataclass(frozen=True)
class Tracks:
    """The tracks of one video. Every track has at least one row and one view.

    Attributes:
        of_row: (R,) int32 number of the track that each row describes, in [0, N).
        boxes: (R, 4) float32 box of each row, the mean over its frames.
        lives_s: (N, 2) float64 start and end of each track in seconds of the video.
        continues: (N,) int32 number of the track in the camera's previous file that continues here; -1 for a new track.
        view_of: (V,) int32 track of each view; views are sorted by track, the best view of a track first.
        views_s: (V,) float64 time of each view in seconds.
        view_boxes: (V, 4) float32 box of each view.
    """

    of_row: NDArray[np.int32]
    boxes: NDArray[np.float32]
    lives_s: NDArray[np.float64]
    continues: NDArray[np.int32]
    view_of: NDArray[np.int32]
    views_s: NDArray[np.float64]
    view_boxes: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of tracks, N."""
        return len(self.lives_s)

    @property
    def best_views(self) -> NDArray[np.int64]:
        """(N,) index of each track's best view among the views."""
        return np.searchsorted(self.view_of, np.arange(len(self)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays, by their names in a .feat file."""
        return {name: getattr(self, attribute) for attribute, (name, _, _) in TENSORS.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Tracks:
        """Tracks from what `arrays` returned."""
        return cls(**{attribute: arrays[name] for attribute, (name, _, _) in TENSORS.items()})


def no_tracks() -> Tracks:
    """The tracks of a video in which nothing moves."""
    return Tracks(**{attribute: np.zeros((0, *entry), dtype) for attribute, (_, dtype, entry) in TENSORS.items()})


def check_tracks(tracks: Tracks, *, rows: int, video: str) -> None:
    """Refuse tracks that are inconsistent or do not fit their rows.

    Args:
        tracks: the tracks to check.
        rows: R.
        video: name of the video, for messages.

    Raises:
        FeatureError: an array has another dtype or shape, a number is out of range, or a track has no row or no view.
    """
    counts = {"of_row": rows, "boxes": rows, "lives_s": len(tracks), "continues": len(tracks)}
    for attribute, (name, dtype, entry) in TENSORS.items():
        array = getattr(tracks, attribute)
        expected = (counts.get(attribute, len(tracks.view_of)), *entry)
        if array.dtype != dtype or array.shape != expected:
            raise FeatureError(f"{video}: {name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {expected}")
    count = len(tracks)
    for name, numbers in (("tracks", tracks.of_row), ("view_tracks", tracks.view_of)):
        inside = bool(((numbers >= 0) & (numbers < count)).all())
        if not (inside and np.bincount(numbers, minlength=count).all()):
            raise FeatureError(f"{video}: {name} do not number {count} tracks, each at least once")
    if (np.diff(tracks.view_of) < 0).any():
        raise FeatureError(f"{video}: view_tracks are not sorted; expected the views of one track after those of another")
    if (tracks.continues < -1).any():
        raise FeatureError(f"{video}: continues holds {int(tracks.continues.min())}; expected numbers of tracks, or -1")
    times = np.concatenate([tracks.lives_s.reshape(-1), tracks.views_s])
    if not (np.isfinite(times).all() and (np.abs(times) <= MOST_S).all() and (tracks.lives_s[:, 1] > tracks.lives_s[:, 0]).all()):
        raise FeatureError(f"{video}: lives_s or views_s contain impossible times; expected seconds, and each start before its end")
    for name, boxes in (("boxes", tracks.boxes), ("view_boxes", tracks.view_boxes)):
        if not ((boxes >= 0) & (boxes <= 1)).all() or not (boxes[:, 2:] >= boxes[:, :2]).all():
            raise FeatureError(f"{video}: {name} are not boxes; expected left, top, right, bottom as fractions of the picture")
