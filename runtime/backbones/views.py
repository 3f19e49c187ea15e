"""The best views of a track: large, sharp, not cut by the frame's edge, shared with no other track, and apart in time."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from wsra.runtime.backbones.background import Image, Mask
from wsra.runtime.backbones.boxes import Box

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
    """

    worth: float
    time_s: float
    box: Box


@dataclass(frozen=True)
class Candidate:
    """The best view of a snippet, whose sharpness is not measured yet.

    Attributes:
        size: square root of its area, less where it is cut.
        time_s: of its frame.
        box: of the track.
        image: (h, w, 3) uint8 BGR, the part of the frame within the box.
        mask: (h, w) bool.
    """

    size: float
    time_s: float
    box: Box
    image: Image
    mask: Mask

    def view(self) -> View:
        """With its sharpness."""
        sharpness = sharpness_of(self.image, self.mask)
        return View(self.size * sharpness / (sharpness + _SHARP), self.time_s, self.box)


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
