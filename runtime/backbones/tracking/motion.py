"""The built-in `motion` backbone: a row of numbers per snippet for each object that moves before a fixed camera. No weights.

It uses only pixels. Objects are never mixed: each has its own rows, with the number of its track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.background import Background, Image
from wsra.runtime.backbones.tracking.blobs import find_pieces
from wsra.runtime.backbones.tracking.camera import Camera
from wsra.runtime.backbones.tracking.describe import NAMES
from wsra.runtime.backbones.tracking.tracker import Objects, Tracker
from wsra.runtime.backbones.tracking.views import Onlooker
from wsra.runtime.video.frames import Frame
from wsra.runtime.video.snippets import number_of

WIDTH = len(NAMES)  # of a row
HEIGHT_PX = 240
FRAMES_PER_S = 4.0
WARM_UP_S = 20.0  # frames are held back until the first background is known
WARM_UP_FRAMES = 21
CUT_LEVELS, CUT_SHARE = 6.0, 0.5  # change in grey levels, and the fraction of a thumbnail that changes, between two frames


def object_rows(
    frames: Iterator[Frame],
    snippet_s: float,
    camera: Camera | None = None,
    seen: Callable[[int], None] | None = None,
    onlooker: Onlooker | None = None,
) -> Objects:
    """Track and describe what moves.

    The first 20 s stay in memory at 240 rows until the background is known; after that nothing looks ahead. A cut (the camera was moved, or
    files were joined) ends all tracks and starts a new background.

    Args:
        frames: in presentation order.
        snippet_s: length of a snippet in seconds; an object has one row in each snippet in which it is seen.
        camera: state at the end of the previous video, if any; updated to the state at the end of this one.
        seen: called with the number of each snippet when it is done.
        onlooker: receives the views of tracks; it does not change any row.

    Returns:
        Rows of `WIDTH` numbers, each named in `describe.NAMES`, sorted by start; no rows if nothing moves.
    """
    cv2.setNumThreads(1)
    camera = camera or Camera()
    last_s, index, newest = camera.last_s, -1, None
    tracker = Tracker(camera.tracks, last_s if camera.background is not None else None, onlooker)

    def close() -> None:
        if index >= 0:
            tracker.close_snippet((index + 1) * snippet_s)
            if seen is not None:
                seen(index)

    for frame, scene, is_new in _with_background(frames, camera):
        number = number_of(frame.time_s, snippet_s)
        if is_new:
            tracker.end_shot()
        if number != index:
            close()
        index, newest = number, frame.image
        image, foreground = scene.subtract(frame.image, elapsed_s=max(frame.time_s - last_s, 0.0))
        last_s = frame.time_s
        tracker.add(frame.time_s, find_pieces(image, foreground), foreground.shape, scene.light, frame)
    close()
    objects, tracks = tracker.finish()
    if newest is not None:
        camera.background, camera.thumbnail, camera.last_s, camera.tracks = scene, _thumbnail(newest), last_s, tracks
    return objects


def _with_background(frames: Iterator[Frame], camera: Camera) -> Iterator[tuple[Frame, Background, bool]]:
    """Each frame with the background to compare it with, and whether that is a new one."""
    known = camera.background
    for shot in shots(frames, camera.thumbnail):
        held: list[Frame] = []
        background, known = known, None
        for frame in shot:
            if background is not None and background.shape == frame.image.shape:
                yield frame, background, False
                continue
            background = None
            held.append(frame)
            if frame.time_s - held[0].time_s >= WARM_UP_S:
                background = first_background(held)
                yield from ((earlier, background, place == 0) for place, earlier in enumerate(held))
        if background is None:
            background = first_background(held)
            yield from ((earlier, background, place == 0) for place, earlier in enumerate(held))


def shots(frames: Iterator[Frame], seen: NDArray[np.float32] | None = None) -> Iterator[Iterator[Frame]]:
    """Split frames where the picture changes suddenly, also from `seen` on; each part must be read before the next."""
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
    """(24, 32) grey levels, each the mean of 16 pixels."""
    few = cv2.resize(image, (128, 96), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(cv2.cvtColor(few, cv2.COLOR_BGR2GRAY), (32, 24), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) + 1.0


def _is_cut(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether this is another picture, not the same one in another light or with something large in it."""
    light = float(np.median(after / before))
    return float((np.abs(after / light - before) > CUT_LEVELS).mean()) > CUT_SHARE


def first_background(held: list[Frame]) -> Background:
    """The empty scene, estimated from evenly chosen frames at the start of a shot."""
    chosen = np.linspace(0, len(held) - 1, min(WARM_UP_FRAMES, len(held))).astype(int)
    return Background([held[i].image for i in chosen])
