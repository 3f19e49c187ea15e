"""The best views of tracks through an image encoder: an embedding for each track, of a few pictures, those of many tracks in a call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.pixels import prepared, resized
from wsra.runtime.backbones.encoders.encoder import Encoder
from wsra.runtime.backbones.encoders.regions import box_of
from wsra.runtime.backbones.tracking.background import Image
from wsra.runtime.backbones.tracking.blobs import Blob
from wsra.runtime.backbones.tracking.boxes import area, overlap
from wsra.runtime.backbones.tracking.views import MOST, View
from wsra.runtime.errors import BackboneError
from wsra.runtime.video.frames import Frame

EACH_S = 10.0  # a view for each time that so many seconds of a life have begun, `views.MOST` at most
LEAST_WORTH = 0.5  # of the best view's: what is worth less is not encoded
LEAST_SIDE = 0.1  # of the frame's height: what is smaller is seen with its surroundings

MOST_HALF = float(np.finfo(np.float16).max)


class ViewEncoder:
    """Looks at the tracks of one video; see `wsra.runtime.backbones.tracking.views.Onlooker`.

    Pictures wait at the encoder's size as bytes until they fill a call: fewer than a call of them, and `views.MOST` for each track that is
    still followed.

    Args (constructor):
        encoder: of images.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._waiting: list[tuple[int, Image]] = []
        self._sums: dict[int, NDArray[np.float32]] = {}
        self._counts: dict[int, int] = {}
        self.encoded, self.calls = 0, 0

    def crop(self, frame: Frame, blob: Blob) -> Image:
        """The part of a frame around a thing, with a margin, at the encoder's size: (*size, 3) uint8 BGR."""
        left, top, right, bottom = self._region(frame, blob)
        return resized(frame.finest[top:bottom, left:right], self._encoder.settings)

    def clear(self, frame: Frame, blob: Blob, blobs: Sequence[Blob]) -> float:
        """Less than 1 by what the boxes of others cover of that part, as a share of the thing's own box."""
        rows, columns = frame.finest.shape[:2]
        left, top, right, bottom = self._region(frame, blob)
        region = left / columns, top / rows, right / columns, bottom / rows
        covered = sum(overlap(region, other.box) for other in blobs if other is not blob)
        return max(0.0, 1.0 - covered / area(blob.box))

    def _region(self, frame: Frame, blob: Blob) -> tuple[int, int, int, int]:
        height, width = self._encoder.settings.size
        return box_of(blob, frame.finest, width / height, least=LEAST_SIDE)

    def take(self, number: int, views: Sequence[View], life_s: float) -> None:
        """Encode the views of a track that has ended, or let them wait for others; see `Onlooker.take`."""
        for view in worth_encoding(views, life_s):
            assert view.crop is not None
            self._waiting.append((number, view.crop))
        while len(self._waiting) >= self._encoder.per_call:
            self._encode(self._waiting[: self._encoder.per_call])
            del self._waiting[: self._encoder.per_call]

    def embeddings(self, numbers: Iterable[int]) -> NDArray[np.float16]:
        """(N, D) of tracks by their numbers: the mean over a track's views.

        Raises:
            BackboneError: what comes out of the encoder is not what its settings say, is not finite or more than float16 holds.
        """
        if self._waiting:
            self._encode(self._waiting)
            self._waiting = []
        means = [self._sums[number] / np.float32(self._counts[number]) for number in numbers]
        found = np.array(means, np.float32).reshape(-1, self._encoder.settings.width)
        largest = float(np.abs(found).max(initial=0.0))
        if largest > MOST_HALF:
            raise BackboneError(
                f"{self._encoder.graph}: {self._encoder.settings.output} holds {largest:g}, and rows of tracks {MOST_HALF:g} at most:"
                ' set "normalise": "l2" in the JSON'
            )
        return found.astype(np.float16)

    def _encode(self, views: Sequence[tuple[int, Image]]) -> None:
        rows = [[prepared(image, self._encoder.settings)] for _, image in views]
        for (number, _), embedding in zip(views, self._encoder.embeddings(rows), strict=True):
            self._sums[number] = self._sums.get(number, np.float32(0.0)) + embedding
            self._counts[number] = self._counts.get(number, 0) + 1
        self.encoded += len(views)
        self.calls += 1


def worth_encoding(views: Sequence[View], life_s: float) -> list[View]:
    """Those of a track's views that are encoded: the best, more of a longer life, none that is far worse than the best.

    Args:
        views: the best first.
        life_s: how long the track was followed, in seconds.
    """
    count = min(1 + int(life_s / EACH_S), MOST)
    return [view for view in views[:count] if view.worth >= LEAST_WORTH * views[0].worth]
