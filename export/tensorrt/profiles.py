"""The range of shapes for which the engine of an encoder or a detector is built."""

from __future__ import annotations

from wsra.runtime.backbones.common.profile import rows_profile
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backends.engines import Profile

IMAGES, FRAMES = 16, 8  # largest number of rows per call of an encoder and of a detector


def picture_profile(settings: EncoderSettings | DetectorSettings) -> Profile:
    """From one row per call to the largest number, which is also the usual one: calls are full except for the last one of a video."""
    if isinstance(settings, EncoderSettings):
        return rows_profile(settings, frames=settings.frames, most=max(1, IMAGES // settings.frames))
    return rows_profile(settings, frames=1, most=FRAMES)
