"""Frames of rendered scenes, with which the graphs of encoders and detectors are checked and calibrated."""

from __future__ import annotations

from wsra.runtime.backbones.common.pixels import Preparation, resized
from wsra.runtime.backbones.tracking.background import Image
from wsra.train.scenes.demo.render import FPS, frames
from wsra.train.scenes.demo.world import sample_clip

PICTURES = 16


def scene_pictures(settings: Preparation, *, first: int = 0) -> list[Image]:
    """Sixteen frames, two of each clip.

    Args:
        settings: size and resize of a graph's input.
        first: number of the first clip; another one gives other pictures.

    Returns:
        Frames (*size, 3) uint8 BGR, resized as the settings say.
    """
    pictures = []
    for number in range(PICTURES // 2):
        for place, image in enumerate(frames(sample_clip(f"look-{first + number}", "train", first + number))):
            if place in (2 * FPS, 12 * FPS):
                pictures.append(resized(image, settings))
    return pictures
