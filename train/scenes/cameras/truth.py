"""When an actor is visible, computed from the share of its outline inside the picture, without painting the clip."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.train.scenes.cameras.body import Pose, extent, paint_traits
from wsra.train.scenes.cameras.camera import FPS, HEIGHT_PX, WIDTH_PX, Camera
from wsra.train.scenes.cameras.world import Actor, Clip

SHARE = 1 / 3  # of the largest share of a body that is ever visible
LEAST, MOST_LEAST = 0.05, 0.2  # share of the body that counts as visible; share that must be visible at some time
_OUTLINE_SIZE = 0.3  # length of a man in outlines, as a share of the picture's height


def frame_times(clip: Clip, actor: Actor) -> NDArray[np.float64]:
    """Times in seconds of the frames in which an actor is painted, if it is inside the picture."""
    times = np.arange(int(clip.duration_s * FPS)) / FPS
    return np.asarray(times[(times >= actor.start_s) & (times <= actor.end_s)])


def shares_inside(clip: Clip, actor: Actor) -> NDArray[np.float64]:
    """Share of a body that is inside the picture.

    Returns:
        (frames,) shares in [0, 1] at `frame_times`; occlusion is ignored.
    """
    outlines = [_outline(clip.camera, actor, k) for k in range(len(actor.headings_rad))]
    shares = []
    for time_s in frame_times(clip, actor):
        summed, foot = outlines[actor.path.stretch(float(time_s))]
        x, y = actor.path.place(float(time_s))
        smaller = _OUTLINE_SIZE / clip.camera.size(y)
        columns = foot[0] + np.array([-x, 1 - x]) * WIDTH_PX * smaller
        rows = foot[1] + np.array([-y, 1 - y]) * HEIGHT_PX * smaller
        left, right = np.clip(np.round(columns), 0, summed.shape[1] - 1).astype(int)
        top, bottom = np.clip(np.round(rows), 0, summed.shape[0] - 1).astype(int)
        inside = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
        shares.append(inside / summed[-1, -1])
    return np.array(shares)


def visible_span(clip: Clip, actor: Actor) -> tuple[float, float] | None:
    """Start and end of an actor's visibility in seconds, to the nearest frame; None if it never enters far enough."""
    shares = shares_inside(clip, actor)
    most = float(shares.max(initial=0.0))
    if most < MOST_LEAST:
        return None
    seen = frame_times(clip, actor)[shares >= max(LEAST, most * SHARE)]
    return float(seen[0]), float(seen[-1] + 1 / FPS)


def _outline(camera: Camera, actor: Actor, stretch: int) -> tuple[NDArray[np.int32], tuple[float, float]]:
    """Summed areas of a body's outline on one stretch of its path, and the position of its foot in it, in pixels."""
    near = replace(camera, reach=_OUTLINE_SIZE)
    pose = Pose((0.5, 1.0), actor.headings_rad[stretch], 0.3)
    left, top, right, bottom = extent(near, actor.traits, actor.build, pose)
    box = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    cover = paint_traits(near, actor.traits, actor.shades, actor.build, pose, box)[..., 3]
    summed = cv2.integral((cover > 127).astype(np.uint8))
    return np.asarray(summed, np.int32), (0.5 * WIDTH_PX - box[0], HEIGHT_PX - box[1])
