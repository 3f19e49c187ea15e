"""What differs from the empty scene of a fixed camera: a background that is compensated for light and updated selectively.

A person who stands still stays foreground: foreground is absorbed over minutes, not over seconds as in a mixture of Gaussians. Lengths in
pixels scale with the height of the picture, so that pictures of 120 and 240 rows give the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]  # (H, W, 3) uint8; OpenCV promises no more than "an array"
Mask = NDArray[np.bool_]

THRESHOLD = 12.0  # grey levels on top of the noise
NOISE_FACTOR = 4.0
MOST_NOISE = 6.0  # grey levels
SHADOW_RATIO = (0.50, 0.97)  # remaining brightness in a shadow
SHADOW_CHROMA = 9.0  # grey levels by which the colour of a shadow may differ from darker ground
ABSORB_S = 12.0  # time constant of the background
ABSORB_FOREGROUND_S = 600.0  # the same under foreground
CHANGED_SCENE = 0.7  # fraction of foreground that means a moved camera or a light switched on
GHOST_EDGE_RATIO = 1.5  # ratio of its edge strength in the estimate to that in the frame
UPDATE_S = 1.0  # the estimate moves in steps of this length

ROWS = 120  # height of the picture to which the lengths below refer
BLUR_PX = 3
CLOSE_PX = (5, 3)  # rows and columns of gaps to close, as for a waist that looks like the wall
GHOST_AREA_PX = 40
OUTLINE_PX = 5
SAMPLE_PX = 4  # the light is estimated from every fourth pixel

LIGHT_POWER = 6  # power mean for the colour of the light: 1 weights all pixels alike, infinity only the brightest
LIGHT_COLOUR = (0.88, 1.14)  # limits of the correction of one channel
LIGHT_LEVEL = (0.85, 1.25)  # limits of the correction of all channels
LIGHT_BRIGHTEST = 190.0  # 95 % of the scene is below this grey level in plain light


def lengths_px(length_px: float, rows: int) -> int:
    """A length at 120 rows as an odd number of pixels at `rows`."""
    return 2 * max(0, round((length_px * rows / ROWS - 1) / 2)) + 1


def _largest_channel(image: Image) -> Image:
    blue, green, red = cv2.split(image)
    return cv2.max(cv2.max(blue, green), red)


class Background:
    """A running estimate of the empty scene.

    Args (constructor):
        warm_up: frames (H, W, 3) uint8 BGR in which each pixel is empty most of the time; their median starts the estimate.
    """

    def __init__(self, warm_up: Sequence[Image]) -> None:
        self._set_lengths(warm_up[0].shape[0])
        blurred = [self._blurred(image) for image in warm_up]
        levels = [max(float(np.median(image[:: self._sample, :: self._sample])), 1.0) for image in blurred]
        usual = float(np.median(levels))
        lit = [cv2.convertScaleAbs(image, alpha=usual / level) for image, level in zip(blurred, levels, strict=True)]
        scene = middle_of(lit)
        self._scene: NDArray[np.float32] = scene.astype(np.float32)
        sums = [cv2.transform(cv2.absdiff(image, scene), np.ones((1, 3))) for image in lit]  # of three channels; 255 is beyond MOST_NOISE
        spread = middle_of(sums).astype(np.float32) * np.float32(1.48 / 3)
        self._noise: NDArray[np.float32] = np.minimum(spread, np.float32(MOST_NOISE))
        self._foreground: Mask = np.zeros(scene.shape[:2], bool)
        self._since_update_s = 0.0
        self._rounded()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the frames, (H, W, 3)."""
        return self._scene.shape

    @property
    def light(self) -> NDArray[np.float64]:
        """Gains (3,) for blue, green and red that bring the scene to plain light, as estimated, within limits."""
        return self._light

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The complete state, for `from_arrays`; views, not copies."""
        since = np.array([self._since_update_s])
        return {"scene": self._scene, "noise": self._noise, "foreground": self._foreground, "since_update_s": since}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Background:
        """Restore the state of another instance exactly."""
        background = cls.__new__(cls)
        background._scene, background._noise, background._foreground = (arrays[name].copy() for name in ("scene", "noise", "foreground"))
        background._since_update_s = float(arrays["since_update_s"][0])
        background._set_lengths(background.shape[0])
        background._rounded()
        return background

    def _set_lengths(self, rows: int) -> None:
        self._blur = (lengths_px(BLUR_PX, rows),) * 2
        self._closed = np.ones([lengths_px(length, rows) for length in CLOSE_PX], np.uint8)
        self._ghost_area = GHOST_AREA_PX * (rows / ROWS) ** 2
        self._outline = np.ones((lengths_px(OUTLINE_PX, rows),) * 2, np.uint8)
        self._sample = max(1, round(SAMPLE_PX * rows / ROWS))

    def _blurred(self, image: Image) -> Image:
        return cv2.blur(image, self._blur)

    def _rounded(self) -> None:
        """Update the eight-bit copies of the estimate, which every frame is compared with, and its light."""
        self._scene8: Image = cv2.convertScaleAbs(self._scene)
        self._grey8: Image = cv2.cvtColor(self._scene8, cv2.COLOR_BGR2GRAY)
        self._threshold8: Image = cv2.convertScaleAbs(self._noise, alpha=NOISE_FACTOR, beta=THRESHOLD)
        self._light = _gains(self._scene8[:: 2 * self._sample, :: 2 * self._sample].reshape(-1, 3))

    def subtract(self, image: Image, *, elapsed_s: float) -> tuple[Image, Mask]:
        """Find the foreground of one frame and update the estimate.

        Args:
            image: (H, W, 3) uint8 BGR.
            elapsed_s: time since the previous frame, in seconds.

        Returns:
            The frame with the light of the background, (H, W, 3) uint8, and its foreground (H, W) bool.
        """
        frame = self._blurred(image)
        gain = self._gain(frame)
        frame = cv2.convertScaleAbs(frame, alpha=1.0 / gain)
        difference = _largest_channel(cv2.absdiff(frame, self._scene8))
        self._foreground = self._differing(frame, difference > self._threshold8)
        self._since_update_s += min(elapsed_s, UPDATE_S)  # a gap in the recording must not absorb a person who stands there
        if self._since_update_s >= UPDATE_S - 1e-6:  # sums of times are rounded; parts of a recording must update when the whole does
            self._update(frame, difference)
        return cv2.convertScaleAbs(image, alpha=1.0 / gain), self._foreground

    def _gain(self, frame: Image) -> float:
        """How much brighter the frame is than the estimate, measured where the previous frame had no foreground."""
        sample = np.s_[:: self._sample, :: self._sample]
        grey = cv2.cvtColor(np.ascontiguousarray(frame[sample]), cv2.COLOR_BGR2GRAY)
        empty = ~self._foreground[sample]
        if not empty.any():
            return 1.0
        ratios = (grey[empty] + np.float32(1)) / (self._grey8[sample][empty] + np.float32(1))
        return min(max(_quantile(ratios, 0.5), 0.3), 3.0)

    def _differing(self, frame: Image, differs: Mask) -> Mask:
        """What differs and is not a shadow, with gaps closed."""
        left, top, width, height = cv2.boundingRect(differs.view(np.uint8))
        if height == 0:
            return differs
        box = np.s_[top : top + height, left : left + width]
        near = np.ascontiguousarray(differs[box])
        where = np.flatnonzero(near)
        seen, ground = (image[box].reshape(-1, 3).take(where, axis=0) for image in (frame, self._scene8))
        solid = np.zeros_like(near)
        solid.reshape(-1)[where] = ~self._is_shadow(seen, ground)
        # Grey trousers look like a shadow, but something solid is above them; above a shadow on the ground there is nothing.
        columns = cv2.transpose(solid.view(np.uint8)).view(np.bool_)  # the first of each is found faster along a row
        highest = np.where(columns.any(axis=1), columns.argmax(axis=1), height).astype(np.int32)
        foreground = np.zeros_like(differs)
        foreground[box] = near & (np.arange(height, dtype=np.int32)[:, None] >= highest)
        tall, wide = self._closed.shape
        around = np.s_[max(0, top - tall) : top + height + tall, max(0, left - wide) : left + width + wide]
        foreground[around] = cv2.morphologyEx(foreground[around].view(np.uint8), cv2.MORPH_CLOSE, self._closed)
        return foreground

    @staticmethod
    def _is_shadow(seen: Image, ground: Image) -> Mask:
        """Which of the differing pixels (N, 3) have the colour of the ground (N, 3), only darker."""
        ground = ground.T.astype(np.float32, order="C")  # (3, N): sums over three rows are faster than along each
        seen = seen.T.astype(np.float32, order="C")
        brightness = (seen.sum(axis=0) + 3.0) / (ground.sum(axis=0) + 3.0)
        off_colour = np.abs(seen - ground * brightness).max(axis=0)
        shadow: Mask = (brightness > SHADOW_RATIO[0]) & (brightness < SHADOW_RATIO[1]) & (off_colour < SHADOW_CHROMA)
        return shadow

    def _ghosts(self, frame: Image) -> Iterator[tuple[tuple[slice, slice], Mask]]:
        """Foreground that an object left which was once absorbed: its outline is an edge in the estimate, not in the frame."""
        margin = self._outline.shape[0] // 2
        for left, top, mask in pieces_of(self._foreground, self._ghost_area):
            height, width = mask.shape
            box = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
            whole = np.zeros(self._foreground[box].shape, np.uint8)
            whole[top - box[0].start :, left - box[1].start :][:height, :width] = mask
            outline = cv2.morphologyEx(whole, cv2.MORPH_GRADIENT, self._outline) > 0
            if outline.any() and _sharpness(self._scene8[box], outline) > GHOST_EDGE_RATIO * _sharpness(frame[box], outline) + 1.0:
                yield box, whole > 0

    def _update(self, frame: Image, difference: Image) -> None:
        full = self._foreground.view(np.uint8)
        empty = 1 - full
        changed = cv2.countNonZero(full) > CHANGED_SCENE * full.size
        empty_rate = 1.0 - np.exp(-self._since_update_s / ABSORB_S)
        full_rate = 1.0 - np.exp(-self._since_update_s / (1.0 if changed else ABSORB_FOREGROUND_S))
        ghosts = list(self._ghosts(frame))
        cv2.accumulateWeighted(frame, self._scene, empty_rate, mask=empty)
        cv2.accumulateWeighted(frame, self._scene, full_rate, mask=full)
        for box, ghost in ghosts:
            self._scene[box][ghost] = frame[box][ghost]
        cv2.accumulateWeighted(np.minimum(difference, 12) * np.float32(0.6), self._noise, empty_rate, mask=empty)
        self._since_update_s = 0.0
        self._rounded()


def pieces_of(foreground: Mask, least_px: float) -> Iterator[tuple[int, int, Mask]]:
    """Connected pieces of foreground, in arbitrary order; pieces in the holes of another one belong to it.

    Args:
        foreground: (H, W) bool.
        least_px: minimum size in pixels.

    Yields:
        Left and top in pixels, and the piece in its own box (height, width) bool.
    """
    picture = foreground.view(np.uint8)
    for contour in cv2.findContours(picture, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        left, top, width, height = cv2.boundingRect(contour)
        if width * height < least_px:
            continue
        filled = np.zeros((height, width), np.uint8)
        cv2.drawContours(filled, [contour], 0, 1, cv2.FILLED, offset=(-left, -top))
        filled &= picture[top : top + height, left : left + width]
        if cv2.countNonZero(filled) >= least_px:
            yield left, top, filled.view(np.bool_)


def _sharpness(image: Image, where: Mask) -> float:
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F, ksize=3)
    return float(np.abs(edges[where]).mean())


def _gains(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """See `Background.light`; for pixels (N, 3) of the empty scene."""
    colour = ((pixels / 255.0) ** LIGHT_POWER).mean(axis=0) ** (1 / LIGHT_POWER)
    brightest = _quantile(pixels.mean(axis=1), 0.95)
    balance = np.clip(colour.mean() / np.maximum(colour, 1e-3), *LIGHT_COLOUR)
    return np.asarray(balance * np.clip(LIGHT_BRIGHTEST / max(brightest, 1.0), *LIGHT_LEVEL))


def _quantile(values: NDArray[Any], share: float) -> float:
    """The value that a given fraction of one or more values does not exceed."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


def middle_of(images: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Median of each pixel over the pictures; for an even number, the lower of the two middle values.

    Whole pictures are compared at a time, which is much faster than sorting each pixel.

    Args:
        images: one or more of the same shape, (H, W) or (H, W, C), uint8.

    Returns:
        One picture of that shape, uint8.
    """
    ordered = list(images)
    for low, high in _comparisons(len(ordered)):
        ordered[low], ordered[high] = cv2.min(ordered[low], ordered[high]), cv2.max(ordered[low], ordered[high])
    return np.array(ordered[(len(ordered) - 1) // 2], np.uint8)


def _comparisons(count: int) -> Iterator[tuple[int, int]]:
    """The comparators of a sorting network, in order: Batcher's odd-even merge sort."""
    merged = 1
    while merged < count:
        apart = merged
        while apart >= 1:
            for first in range(apart % merged, count - apart, 2 * apart):
                for low in range(first, min(first + apart, count - apart)):
                    if low // (2 * merged) == (low + apart) // (2 * merged):
                        yield low, low + apart
            apart //= 2
        merged *= 2
