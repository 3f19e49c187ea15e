"""What differs from the empty scene of a fixed camera: a background that is compensated for light and updated selectively.

Whoever stands still stays foreground: what lies under foreground is absorbed over minutes, not seconds as in a mixture of Gaussians.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]  # (H, W, 3) uint8; OpenCV promises no more than "an array"
Mask = NDArray[np.bool_]

THRESHOLD = 12.0  # grey levels on top of the noise
NOISE_FACTOR = 4.0
SHADOW_RATIO = (0.50, 0.97)  # brightness that a shadow leaves
SHADOW_CHROMA = 9.0  # grey levels by which its colour may differ from darker ground
ABSORB_S = 12.0  # time constant of the background
ABSORB_FOREGROUND_S = 600.0  # and under foreground
CHANGED_SCENE = 0.7  # share of foreground that means a moved camera or a light switched on


GHOST_AREA_PX = 40
GHOST_EDGE_RATIO = 1.5  # how much sharper its outline is in the estimate than in the frame
UPDATE_S = 1.0  # the estimate moves in steps of this length


def _largest_channel(image: Image) -> Image:
    blue, green, red = cv2.split(image)
    return cv2.max(cv2.max(blue, green), red)


class Background:
    """Running estimate of the empty scene.

    Args (constructor):
        warm_up: frames (H, W, 3) uint8 BGR over which most of each pixel's time is empty; their median starts the estimate.
    """

    def __init__(self, warm_up: Sequence[Image]) -> None:
        stack = np.stack([cv2.blur(image, (3, 3)) for image in warm_up]).astype(np.float32)
        level = np.median(stack[:, ::3, ::3], axis=(1, 2, 3)).reshape(-1, 1, 1, 1)
        stack *= np.median(level) / np.maximum(level, 1.0)
        self._scene: NDArray[np.float32] = np.median(stack, axis=0).astype(np.float32)
        spread = np.median(np.abs(stack - self._scene).mean(axis=3), axis=0) * 1.48
        self._noise: NDArray[np.float32] = np.minimum(spread, 6.0).astype(np.float32)
        self._foreground: Mask = np.zeros(self._scene.shape[:2], bool)
        self._since_update_s = 0.0
        self._rounded()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the frames, (H, W, 3)."""
        return self._scene.shape

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it knows, for `from_arrays`; views, not copies."""
        since = np.array([self._since_update_s])
        return {"scene": self._scene, "noise": self._noise, "foreground": self._foreground, "since_update_s": since}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Background:
        """Go on exactly where another one stood."""
        background = cls.__new__(cls)
        background._scene, background._noise, background._foreground = (arrays[name].copy() for name in ("scene", "noise", "foreground"))
        background._since_update_s = float(arrays["since_update_s"][0])
        background._rounded()
        return background

    def _rounded(self) -> None:
        """Eight-bit copies of the estimate, which every frame is compared with."""
        self._scene8: Image = np.clip(self._scene + 0.5, 0, 255).astype(np.uint8)
        self._grey8: Image = cv2.cvtColor(self._scene8, cv2.COLOR_BGR2GRAY)
        self._threshold8: Image = (THRESHOLD + NOISE_FACTOR * self._noise).astype(np.uint8)

    def subtract(self, image: Image, *, elapsed_s: float) -> tuple[Image, Mask]:
        """Find the foreground of one frame and update the estimate.

        Args:
            image: (H, W, 3) uint8 BGR.
            elapsed_s: time since the frame before, in seconds.

        Returns:
            The frame with the light of the background, (H, W, 3) uint8, and its foreground (H, W) bool.
        """
        frame = cv2.blur(image, (3, 3))
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        empty = ~self._foreground[::3, ::3]
        ratios = (grey[::3, ::3] + np.float32(1)) / (self._grey8[::3, ::3] + np.float32(1))
        gain = float(np.median(ratios[empty])) if empty.any() else 1.0
        gain = min(max(gain, 0.3), 3.0)
        frame = cv2.convertScaleAbs(frame, alpha=1.0 / gain)
        difference = _largest_channel(cv2.absdiff(frame, self._scene8))
        differs = difference > self._threshold8
        solid = differs.copy()
        solid[differs] = ~self._is_shadow(frame[differs], differs)
        # Grey trousers look like a shadow, but something solid stands above them; a shadow on the ground has nothing above.
        foreground = solid | (differs & np.maximum.accumulate(solid, axis=0))
        self._foreground = cv2.morphologyEx(foreground.view(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 3), np.uint8)) > 0
        self._since_update_s += min(elapsed_s, UPDATE_S)  # a gap in the recording must not absorb who stands there
        if self._since_update_s >= UPDATE_S - 1e-6:  # sums of times round; parts of a file must update where the whole does
            self._update(frame, difference)
        return cv2.convertScaleAbs(image, alpha=1.0 / gain), self._foreground

    def _is_shadow(self, pixels: Image, where: Mask) -> Mask:
        """Which of the pixels (N, 3) that differ are the ground's own colour, only darker."""
        ground = self._scene8[where].T.astype(np.float32, order="C")  # (3, N): sums over three rows are faster than along each
        seen = pixels.T.astype(np.float32, order="C")
        brightness = (seen.sum(axis=0) + 3.0) / (ground.sum(axis=0) + 3.0)
        off_colour = np.abs(seen - ground * brightness).max(axis=0)
        shadow: Mask = (brightness > SHADOW_RATIO[0]) & (brightness < SHADOW_RATIO[1]) & (off_colour < SHADOW_CHROMA)
        return shadow

    def _ghosts(self, frame: Image) -> Mask:
        """Foreground where something that was taken for background has gone: its outline is an edge of the estimate, not of the frame."""
        edges_seen, edges_kept = (
            cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F, ksize=3) for image in (frame, self._scene8)
        )
        ghosts = np.zeros_like(self._foreground)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(self._foreground.view(np.uint8), connectivity=8)
        for label in range(1, count):
            left, top, width, height, area = (int(n) for n in stats[label])
            if area < GHOST_AREA_PX:
                continue
            box = np.s_[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2]
            piece = (labels[box] == label).astype(np.uint8)
            outline = cv2.morphologyEx(piece, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
            if not outline.any():  # it fills the whole frame
                continue
            seen = np.abs(edges_seen[box][outline]).mean()
            kept = np.abs(edges_kept[box][outline]).mean()
            if kept > GHOST_EDGE_RATIO * seen + 1.0:
                ghosts[box] |= piece > 0
        return ghosts

    def _update(self, frame: Image, difference: Image) -> None:
        changed = self._foreground.mean() > CHANGED_SCENE
        empty_rate = 1.0 - np.exp(-self._since_update_s / ABSORB_S)
        full_rate = 1.0 - np.exp(-self._since_update_s / (1.0 if changed else ABSORB_FOREGROUND_S))
        rate = np.where(self._foreground, np.float32(full_rate), np.float32(empty_rate))
        ghosts = self._ghosts(frame)
        self._scene += rate[..., None] * (frame - self._scene)
        still = np.where(self._foreground, np.float32(0), rate)
        self._scene[ghosts] = frame[ghosts]
        self._noise += still * (np.minimum(difference, 12) * np.float32(0.6) - self._noise)
        self._since_update_s = 0.0
        self._rounded()
