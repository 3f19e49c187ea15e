"""The built-in `motion` backbone: a few hundred numbers per snippet on what moves before a fixed camera. Reads pixels only, has no weights.

Two objects in one snippet are kept apart: each of the two most prominent has numbers of its own, and over all objects the largest value
of each number is kept; colours and shapes of different objects are never averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.background import Background, Image
from wsra.runtime.backbones.blobs import find_blobs
from wsra.runtime.backbones.camera import Camera
from wsra.runtime.backbones.tracks import OBJECT_NAMES, Tracker
from wsra.runtime.video.frames import Frame

HEIGHT_PX = 120
FRAMES_PER_S = 4.0
WARM_UP_S = 20.0  # frames are held back until the first background stands
WARM_UP_FRAMES = 21
CUT_LEVELS, CUT_SHARE = 6.0, 0.5  # so many grey levels in so large a share of a thumbnail from one frame to the next
OWN_NUMBERS = 2  # objects with numbers of their own

SCENE_NAMES = ("objects", "foreground", "brightness", "warmth", "saturation")

FEATURE_NAMES: tuple[str, ...] = (
    *(f"object {rank + 1}: {name}" for rank in range(OWN_NUMBERS) for name in OBJECT_NAMES),
    *(f"any object: {name}" for name in OBJECT_NAMES),
    *(f"scene: {name}" for name in SCENE_NAMES),
)
WIDTH = len(FEATURE_NAMES)


def _features(objects: list[NDArray[np.float32]], scene: Sequence[float]) -> NDArray[np.float32]:
    none = np.zeros(len(OBJECT_NAMES), np.float32)
    own = [*objects[:OWN_NUMBERS], *[none] * OWN_NUMBERS][:OWN_NUMBERS]
    largest = np.max([none, *objects], axis=0)
    return np.concatenate([*own, largest, np.array(scene, np.float32)]).astype(np.float32)


class _Snippet:
    """What is gathered over the frames of one snippet."""

    def __init__(self) -> None:
        self.scene: list[tuple[float, ...]] = []

    def add(self, image: Image, covered: float) -> None:
        blue, green, red = (float(mean) for mean in image[::4, ::4].reshape(-1, 3).mean(axis=0))
        brightness = (blue + green + red) / 3
        spread = max(blue, green, red) - min(blue, green, red)
        self.scene.append((covered, brightness / 255, (red - blue) / 255, spread / 255))


def motion_features(frames: Iterator[Frame], snippet_s: float, camera: Camera | None = None) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Describe what moves, snippet by snippet.

    The first 20 s are held in memory at 120 rows until the background stands; from then on nothing looks ahead. After a cut (the camera
    was moved, or files were joined) it begins anew.

    Args:
        frames: in presentation order.
        snippet_s: length of a snippet in seconds.
        camera: what is known of it from the video before, if anything; afterwards what is known at the end of this one.

    Yields:
        (k, (WIDTH,) float32) for snippet [k * snippet_s, (k + 1) * snippet_s); snippets without a frame are left out.
    """
    cv2.setNumThreads(1)
    camera = camera or Camera()
    tracker, snippet, index, last_s = Tracker(), _Snippet(), -1, camera.last_s
    known, newest = camera.background, None

    def closed() -> NDArray[np.float32]:
        objects = tracker.close_snippet()
        return _features(objects, (len(objects) / 4, *np.mean(snippet.scene, axis=0)))

    def ready() -> Iterator[tuple[Frame, Background]]:
        """Each frame with the background to compare it with; a cut starts a new one."""
        nonlocal known
        for shot in shots(frames, camera.thumbnail):
            held: list[Frame] = []
            background, known = known, None
            for frame in shot:
                if background is not None and background.shape == frame.image.shape:
                    yield frame, background
                    continue
                background = None
                held.append(frame)
                if frame.time_s - held[0].time_s >= WARM_UP_S:
                    background = first_background(held)
                    yield from ((earlier, background) for earlier in held)
            if background is None:
                background = first_background(held)
                yield from ((earlier, background) for earlier in held)

    for frame, scene in ready():
        number = int(np.floor((frame.time_s + 1e-6) / snippet_s))
        if number != index and index >= 0:
            yield index, closed()
            snippet = _Snippet()
        index = number
        image, foreground = scene.subtract(frame.image, elapsed_s=max(frame.time_s - last_s, 0.0))
        last_s, newest = frame.time_s, frame.image
        tracker.add(frame.time_s, find_blobs(image, foreground))
        snippet.add(frame.image, float(foreground.mean()))
    if newest is not None:
        yield index, closed()
        camera.background, camera.thumbnail, camera.last_s = scene, _thumbnail(newest), last_s


def shots(frames: Iterator[Frame], seen: NDArray[np.float32] | None = None) -> Iterator[Iterator[Frame]]:
    """Split frames where the picture changes at once, after `seen`, too; each part must be read before the next."""
    ahead = next(frames, None)

    def shot() -> Iterator[Frame]:
        nonlocal ahead, seen
        while ahead is not None:
            thumbnail = _thumbnail(ahead.image)
            changed = seen is not None and _is_cut(seen, thumbnail)
            seen = None if changed else thumbnail
            if changed:
                return
            frame, ahead = ahead, next(frames, None)
            yield frame

    while ahead is not None:
        yield shot()


def _thumbnail(image: Image) -> NDArray[np.float32]:
    """(24, 32) grey levels."""
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (32, 24), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) + 1.0


def _is_cut(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether another picture is shown, and not the same one in another light or with something large in it."""
    light = float(np.median(after / before))
    return float((np.abs(after / light - before) > CUT_LEVELS).mean()) > CUT_SHARE


def first_background(held: list[Frame]) -> Background:
    """The empty scene as the first frames of a shot tell it, evenly chosen from them."""
    chosen = np.linspace(0, len(held) - 1, min(WARM_UP_FRAMES, len(held))).astype(int)
    return Background([held[i].image for i in chosen])
