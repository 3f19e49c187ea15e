"""The detections of a frame, and the interface of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.background import Image


@dataclass(frozen=True)
class Found:
    """The detections of one frame, the best first.

    Attributes:
        boxes: (K, 4) float32 left, top, right and bottom, as fractions of the frame's width and height, inside the frame.
        scores: (K,) float32, 0 to 1.
        classes: (K,) int64, indices into `wsra.runtime.backbones.detectors.classes.CLASSES`.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


class Detector(Protocol):
    """Finds objects in frames."""

    @property
    def id(self) -> str:
        """Identifies the detector together with its settings."""

    @property
    def height_px(self) -> int:
        """Preferred height of frames in pixels."""

    @property
    def frames_per_s(self) -> float:
        """Frames per second to process."""

    @property
    def per_call(self) -> int:
        """Preferred number of frames per call."""

    def find(self, images: Sequence[Image]) -> list[Found]:
        """Find objects.

        Args:
            images: one to `per_call` frames (H, W, 3) uint8 BGR of the same size.

        Returns:
            The detections of each frame, one per object.

        Raises:
            BackboneError: the output of the detector cannot be used.
        """
