"""The best views of a track: large, sharp, not cut by the frame's edge, shared with no other track, and apart in time."""

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

MOST = 4  # of a track
APART_S = 1.0
_CUT_WORTH = 0.5  # of the size, where the frame's edge cuts it
_SHARP = 100.0  # variance of the Laplacian (grey levels squared) at which a view is worth half of a perfectly sharp one


@dataclass(frozen=True)
class View:
    """One view of a track.

    Attributes:
        worth: what it is sorted by.
        time_s: of its frame.
        box: of the track.
        crop: what an `Onlooker` cut out of the frame, where there is one.
    """

    worth: float
    time_s: float
    box: Box
    crop: Image | None = field(default=None, compare=False, repr=False)


class Onlooker(Protocol):
    """Who looks at the views of tracks that are followed."""

    def clear(self, frame: Frame, blob: Blob, blobs: Sequence[Blob]) -> float:
        """How far what `crop` keeps is free of all other things of a frame: 1 where there are none in it, 0 where it is of no use."""

    def crop(self, frame: Frame, blob: Blob) -> Image:
        """What shall be kept of a frame that shows a track well."""

    def take(self, number: int, views: Sequence[View], life_s: float) -> None:
        """The best views of a track that has ended.

        Args:
            number: of the track; it comes once.
            views: with their crops, the best first.
            life_s: how long it was followed in this video, in seconds.
        """


@dataclass(frozen=True)
class Candidate:
    """The best view of a snippet, whose sharpness is not measured yet.

    Attributes:
        size: square root of its area, less where it is cut.
        time_s: of its frame.
        box: of the track.
        image: (h, w, 3) uint8 BGR, the part of the frame within the box.
        mask: (h, w) bool.
        crop: gives that of `View`; it is asked once, for the best frame of the snippet.
    """

    size: float
    time_s: float
    box: Box
    image: Image
    mask: Mask
    crop: Callable[[], Image] | None = None

    def view(self) -> View:
        """With its sharpness."""
        sharpness = sharpness_of(self.image, self.mask)
        crop = self.crop() if self.crop is not None else None
        return View(self.size * sharpness / (sharpness + _SHARP), self.time_s, self.box, crop)


def size_of(area: float, *, cut: bool) -> float:
    """What a view is worth before its sharpness is known; the area is a share of the picture."""
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
        """Take a view, unless a better one is near in time or there are enough that are better."""
        near = [kept for kept in self.kept if abs(kept.time_s - view.time_s) < APART_S - 1e-6]
        if any(kept.worth >= view.worth for kept in near):
            return
        self.kept = [kept for kept in self.kept if kept not in near] + [view]
        self.kept.sort(key=lambda kept: (-kept.worth, kept.time_s))
        del self.kept[MOST:]

    def extend(self, later: Views) -> None:
        """Take those of a track that goes on after this one."""
        for view in later.kept:
            self.add(view)
