"""Encoding the best views of tracks: one embedding per track from a few pictures; pictures of many tracks share a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.pixels import resized
from wsra.runtime.backbones.encoders.encoder import Encoder
from wsra.runtime.backbones.encoders.regions import box_of
from wsra.runtime.backbones.tracking.background import Image
from wsra.runtime.backbones.tracking.blobs import Blob
from wsra.runtime.backbones.tracking.boxes import area, overlap
from wsra.runtime.backbones.tracking.views import MOST, View
from wsra.runtime.errors import BackboneError
from wsra.runtime.video.frames import Frame

EACH_S = 10.0  # one view for each such period of a life, at most `views.MOST`
LEAST_WORTH = 0.5  # fraction of the best view's worth; lesser views are not encoded
LEAST_SIDE = 0.1  # fraction of the frame's height; smaller objects are cropped with their surroundings

MOST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class ViewCall:
    """A prepared call: its input, and the number of the track that each row shows."""

    pixels: NDArray[Any]
    numbers: list[int]


class ViewEncoder:
    """Encodes the tracks of one video; see `wsra.runtime.backbones.tracking.views.Onlooker`.

    Pictures wait as bytes, at the encoder's size, until they fill a call: less than one call, plus `views.MOST` for each active track.

    Args (constructor):
        encoder: an image encoder.

    Attributes:
        put: is handed each full call. It is `encode` unless another function is set that passes the calls to `encode` in another thread.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.put: Callable[[ViewCall], None] = self.encode
        self._waiting: list[tuple[int, Image]] = []
        self._sums: dict[int, NDArray[np.float32]] = {}
        self._counts: dict[int, int] = {}
        self.encoded, self.calls = 0, 0

    def crop(self, frame: Frame, blob: Blob) -> Image:
        """The part of a frame around a thing, with a margin, at the encoder's size: (*size, 3) uint8 BGR."""
        left, top, right, bottom = self._region(frame, blob)
        return resized(frame.finest[top:bottom, left:right], self._encoder.settings)

    def clear(self, frame: Frame, blob: Blob, blobs: Sequence[Blob]) -> float:
        """1 minus the area of that part that other boxes cover, as a fraction of the object's own box."""
        rows, columns = frame.finest.shape[:2]
        left, top, right, bottom = self._region(frame, blob)
        region = left / columns, top / rows, right / columns, bottom / rows
        covered = sum(overlap(region, other.box) for other in blobs if other is not blob)
        return max(0.0, 1.0 - covered / area(blob.box))

    def _region(self, frame: Frame, blob: Blob) -> tuple[int, int, int, int]:
        height, width = self._encoder.settings.size
        return box_of(blob, frame.finest, width / height, least=LEAST_SIDE)

    def take(self, number: int, views: Sequence[View], life_s: float) -> None:
        """Keep the views of a finished track until a call is full, and hand that over; see `Onlooker.take`."""
        for view in worth_encoding(views, life_s):
            assert view.crop is not None
            self._waiting.append((number, view.crop))
        while len(self._waiting) >= self._encoder.per_call:
            self.put(self._call(self._waiting[: self._encoder.per_call]))
            del self._waiting[: self._encoder.per_call]

    def embeddings(self, numbers: Iterable[int]) -> NDArray[np.float16]:
        """(N, D) embeddings of tracks by their numbers: the mean over the views of a track.

        Raises:
            BackboneError: the output of the encoder does not match its settings, is not finite or exceeds float16.
        """
        if self._waiting:
            self.encode(self._call(self._waiting))
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

    def _call(self, views: Sequence[tuple[int, Image]]) -> ViewCall:
        return ViewCall(self._encoder.prepare([[image] for _, image in views]), [number for number, _ in views])

    def encode(self, call: ViewCall) -> None:
        """Encode a call and add its embeddings to those of their tracks.

        Raises:
            BackboneError: the output of the encoder does not match its settings, or is not finite.
        """
        for number, embedding in zip(call.numbers, self._encoder.embeddings(call.pixels, len(call.numbers)), strict=True):
            self._sums[number] = self._sums.get(number, np.float32(0.0)) + embedding
            self._counts[number] = self._counts.get(number, 0) + 1
        self.encoded += len(call.numbers)
        self.calls += 1


def worth_encoding(views: Sequence[View], life_s: float) -> list[View]:
    """The views of a track to encode: the best ones, more for a longer life, but none that is far worse than the best.

    Args:
        views: views, best first.
        life_s: length of the track in seconds.
    """
    count = min(1 + int(life_s / EACH_S), MOST)
    return [view for view in views[:count] if view.worth >= LEAST_WORTH * views[0].worth]
