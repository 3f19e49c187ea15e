"""Rows of tracked objects: the numbers of the `motion` backbone, followed by an image encoder's embedding of the best views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from wsra.runtime.backbones.common.pipeline import Pipeline
from wsra.runtime.backbones.encoders.encoder import FOLLOWS, Encoder
from wsra.runtime.backbones.encoders.onnx_backbone import encoder_id
from wsra.runtime.backbones.encoders.view_encoder import ViewCall, ViewEncoder
from wsra.runtime.backbones.tracking.camera import Camera
from wsra.runtime.backbones.tracking.motion import FRAMES_PER_S, HEIGHT_PX, WIDTH, object_rows
from wsra.runtime.backbones.tracking.tracker import Objects
from wsra.runtime.errors import BackboneError
from wsra.runtime.video.frames import Frame, Reading

DETAIL_PX = 480  # maximum height of the frames that views are cropped from: 20 s of them stay in memory until the background is known

_AHEAD = 8  # numbers of snippets and prepared calls that may wait for the encoder


class TrackedBackbone:
    """Rows of objects as in `motion`, each followed by the embedding of its track.

    Args (constructor):
        encoder: an image encoder.
        camera: see `MotionBackbone`.

    Raises:
        BackboneError: the encoder takes clips.
    """

    def __init__(self, encoder: Encoder, camera: Camera | None = None) -> None:
        if encoder.settings.frames > 1:
            raise BackboneError(
                f"{encoder.graph}: takes clips of {encoder.settings.frames} frames; --regions tracks encodes single views: give an image"
                " encoder, or other regions"
            )
        self.encoder = encoder
        self._camera = camera
        self.overlaps = True
        self._pipeline = Pipeline(FOLLOWS)

    @property
    def width(self) -> int:
        """Numbers per row: those of `motion` and an embedding."""
        return WIDTH + self.encoder.settings.width

    @property
    def device(self) -> str:
        """Where the encoder runs: "cpu" or the name of the GPU."""
        return self.encoder.device

    def stages(self) -> str:
        """See `Staged`."""
        return self._pipeline.in_words("encoder")

    def id(self, snippet_s: float) -> str:
        """See `encoder_id`."""
        return encoder_id(self.encoder.settings, "tracks", snippet_s)

    def reads_at(self, snippet_s: float) -> Reading:
        """As for `motion`, with detail frames of twice the rows of the encoder's input, up to 480."""
        detail_px = min(2 * self.encoder.settings.size[0], DETAIL_PX)
        return Reading(HEIGHT_PX, max(FRAMES_PER_S, 1.0 / snippet_s), detail_px)

    def objects(self, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Objects:
        """Track objects in a thread and encode their best views in another; see `object_rows`.

        Raises:
            BackboneError: the output of the encoder does not match its settings, or is not finite.
        """
        self._pipeline = Pipeline(FOLLOWS, overlaps=self.overlaps)
        views = ViewEncoder(self.encoder)
        tracked: list[Objects] = []

        def track(shown: Iterator[Frame], put: Callable[[ViewCall | int], None]) -> None:
            views.put = put
            tracked.append(object_rows(shown, snippet_s, self._camera, put, views))

        def infer(item: ViewCall | int) -> int | None:
            if isinstance(item, int):
                return item
            views.encode(item)
            return None

        with closing(self._pipeline.run(frames, track, infer, depth=_AHEAD)) as numbers:
            for number in numbers:
                if number is not None and seen is not None:
                    seen(number)
        views.put, (found,) = views.encode, tracked
        embeddings = views.embeddings(found.numbers.tolist())
        values = np.empty((len(found.values), self.width), np.float16)
        values[:, :WIDTH], values[:, WIDTH:] = found.values, embeddings[found.tracks.of_row]
        return replace(found, values=values)

    def continuing(self, camera: Camera) -> TrackedBackbone:
        """This backbone for the next file of a camera."""
        return TrackedBackbone(self.encoder, camera)
