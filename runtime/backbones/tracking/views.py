"""The best views of a track: large, sharp, not cut by the frame's edge, not shared with other tracks, and apart in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from wsra.runtime.backbones.tracking.background import Image, Mask
from wsra.runtime.backbones.tracking.blobs import Blob
from wsra.runtime.backbones.tracking.boxes import Box
from wsra.runtime.video.frames import Frame

MOST = 4  # views per track
APART_S = 1.0
_CUT_WORTH = 0.5  # factor for the size if the frame's edge cuts it
_SHARP = 100.0  # variance of the Laplacian (grey levels squared) at which a view is worth half of a perfectly sharp one


@dataclass(frozen=True)
class View:
    """One view of a track.

    Attributes:
        worth: the value by which views are sorted.
        time_s: time of its frame.
        box: box of the track.
        crop: what an `Onlooker` cropped from the frame, if there is one.
    """

    worth: float
    time_s: float
    box: Box
    crop: Image | None = field(default=None, compare=False, repr=False)


class Onlooker(Protocol):
    """Receives the views of active tracks."""

    def clear(self, frame: Frame, blob: Blob, blobs: Sequence[Blob]) -> float:
        """How free the result of `crop` is of other objects: 1 if there are none in it, 0 if it is useless."""

    def crop(self, frame: Frame, blob: Blob) -> Image:
        """The part to keep of a frame that shows a track well."""

    def take(self, number: int, views: Sequence[View], life_s: float) -> None:
        """Receive the best views of a track that has ended.

        Args:
            number: number of the track; each comes once.
            views: views with their crops, the best first.
            life_s: length of the track in this video, in seconds.
        """


@dataclass(frozen=True)
class Candidate:
    """The best view of a snippet, before its sharpness is measured.

    Attributes:
        size: square root of its area, reduced if it is cut.
        time_s: time of its frame.
        box: box of the track.
        image: (h, w, 3) uint8 BGR, the part of the frame within the box.
        mask: (h, w) bool.
        crop: makes the crop of `View`; called once, for the best frame of the snippet.
    """

    size: float
    time_s: float
    box: Box
    image: Image
    mask: Mask
    crop: Callable[[], Image] | None = None

    def view(self) -> View:
        """The view with its sharpness."""
        sharpness = sharpness_of(self.image, self.mask)
        crop = self.crop() if self.crop is not None else None
        return View(self.size * sharpness / (sharpness + _SHARP), self.time_s, self.box, crop)


def size_of(area: float, *, cut: bool) -> float:
    """The worth of a view before its sharpness is known; the area is a fraction of the picture."""
    return float(np.sqrt(area)) * (_CUT_WORTH if cut else 1.0)


def sharpness_of(image: Image, mask: Mask) -> float:
    """Variance of the Laplacian within a mask, in grey levels squared."""
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F)
    return float(edges[mask].var())


@dataclass
class Views:
    """The best views of a track so far, the best first."""

    kept: list[View] = field(default_factory=list)

    def add(self, view: View) -> None:
        """Add a view, unless a better one is close in time or there are enough better ones."""
        near = [kept for kept in self.kept if abs(kept.time_s - view.time_s) < APART_S - 1e-6]
        if any(kept.worth >= view.worth for kept in near):
            return
        self.kept = [kept for kept in self.kept if kept not in near] + [view]
        self.kept.sort(key=lambda kept: (-kept.worth, kept.time_s))
        del self.kept[MOST:]

    def extend(self, later: Views) -> None:
        """Add those of a track that continues this one."""
        for view in later.kept:
            self.add(view)
