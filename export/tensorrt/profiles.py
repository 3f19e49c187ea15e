"""The range of shapes for which the engine of an encoder or a detector is built."""

from __future__ import annotations

from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.engines import Profile

IMAGES, FRAMES = 16, 8  # largest number of rows per call of an encoder and of a detector


def picture_profile(settings: EncoderSettings | DetectorSettings) -> Profile:
    """From one row per call to the largest number, which is also the usual one: calls are full except for the last one of a video."""
    if isinstance(settings, EncoderSettings):
        frames, most = settings.frames, max(1, IMAGES // settings.frames)
    else:
        frames, most = 1, FRAMES
    smallest, most = (1, most) if settings.batch == "dynamic" else (settings.batch, settings.batch)
    sizes = {"C": 3, "H": settings.size[0], "W": settings.size[1], "T": frames}
    shape = tuple(sizes[letter] for letter in settings.layout[1:])
    return {settings.input: ((smallest, *shape), (most, *shape), (most, *shape))}
