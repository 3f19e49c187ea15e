"""Where a tracked object is at any time, its box drawn into a picture, its crop, and pictures as JPEG.

Pictures are (H, W, 3) uint8 BGR; boxes are left, top, right, bottom as shares of the picture.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.formats.features import Features

Picture = NDArray[Any]
Box = tuple[float, float, float, float]

_HIDDEN_S = 2.0  # where the object is unknown for longer than this, no box is drawn
_MARGIN = 0.2  # of a crop, as a share of the box's larger side
_COLOUR = (0, 191, 255)  # BGR: amber, which stands out of day and night pictures, with a dark edge


@dataclass(frozen=True)
class ObjectPath:
    """Where one object is.

    Attributes:
        times_s: (N,) ascending, in seconds of the video.
        boxes: (N, 4) at these times.
    """

    times_s: NDArray[np.float64]
    boxes: NDArray[np.float64]

    def box(self, time_s: float) -> Box | None:
        """Where the object is at a time, between the times at which it is known; None where none of these is near."""
        if np.abs(self.times_s - time_s).min() > _HIDDEN_S:
            return None
        left, top, right, bottom = (float(np.interp(time_s, self.times_s, self.boxes[:, side])) for side in range(4))
        return left, top, right, bottom


def path_of(features: Features, track: int) -> ObjectPath | None:
    """The path of a track: the mean box of each second at its middle, and its views; None where the features have no such track."""
    tracks = features.tracks
    if tracks is None or not 0 <= track < len(tracks):
        return None
    rows, views = tracks.of_row == track, tracks.view_of == track
    times_s = np.concatenate([tracks.views_s[views], features.times_s[rows].mean(axis=1)])
    boxes = np.concatenate([tracks.view_boxes[views], tracks.boxes[rows]]).astype(np.float64)
    times_s, first = np.unique(times_s, return_index=True)  # of equal times the view, which is of one frame
    return ObjectPath(times_s, boxes[first])


def with_box(picture: Picture, box: Box) -> Picture:
    """A copy of a picture with a box."""
    import cv2

    drawn: Picture = picture.copy()
    height, width = picture.shape[:2]
    thick = max(2, round(height / 240))
    first, last = (round(box[0] * width), round(box[1] * height)), (round(box[2] * width), round(box[3] * height))
    cv2.rectangle(drawn, first, last, (0, 0, 0), thick + 2)
    cv2.rectangle(drawn, first, last, _COLOUR, thick)
    return drawn


def crop(picture: Picture, box: Box) -> Picture:
    """What is in a box and a little around it; at least 8 pixels each way."""
    height, width = picture.shape[:2]
    margin = _MARGIN * max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
    left, right = _within(box[0] * width - margin, box[2] * width + margin, width)
    top, bottom = _within(box[1] * height - margin, box[3] * height + margin, height)
    return picture[top:bottom, left:right]


def _within(first: float, last: float, length: int) -> tuple[int, int]:
    low = int(np.clip(np.floor(first), 0, max(0, length - 8)))
    return low, int(np.clip(np.ceil(last), min(length, low + 8), length))


def fitted(picture: Picture, width_px: int, height_px: int) -> Picture:
    """A picture scaled down until it fits; a small one stays as it is."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(1.0, width_px / width, height_px / height)
    if scale == 1.0:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def jpeg(picture: Picture, *, quality: int = 80) -> bytes:
    """A picture as JPEG."""
    import cv2

    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def data_uri(content: bytes) -> str:
    """A JPEG as the `src` of an image in a page."""
    return f"data:image/jpeg;base64,{b64encode(content).decode('ascii')}"
