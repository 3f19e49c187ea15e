"""What a detector finds in a frame, and what any detector must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.background import Image


@dataclass(frozen=True)
class Found:
    """The boxes of one frame, the best first.

    Attributes:
        boxes: (K, 4) float32 left, top, right and bottom, as shares of the frame's width and height; within it.
        scores: (K,) float32, 0 to 1.
        classes: (K,) int64, places in `wsra.runtime.backbones.detectors.classes.CLASSES`.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


class Detector(Protocol):
    """Finds things in frames."""

    @property
    def id(self) -> str:
        """What tells it from every other detector, and from itself with other settings."""

    @property
    def height_px(self) -> int:
        """Height in pixels of the frames it is best given."""

    @property
    def frames_per_s(self) -> float:
        """Frames a second that it is to look at."""

    @property
    def per_call(self) -> int:
        """Frames that it is best given at a time."""

    def find(self, images: Sequence[Image]) -> list[Found]:
        """Find things.

        Args:
            images: one or more frames (H, W, 3) uint8 BGR of one size, no more than `per_call`.

        Returns:
            What is found in each. Boxes of one thing are one.

        Raises:
            BackboneError: the detector gives what cannot be used.
        """
