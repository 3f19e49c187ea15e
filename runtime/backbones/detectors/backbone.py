"""A detector as a backbone: rows of the objects that it finds, even if the camera moves or the objects stand still.

No background is needed, so no frames are held back at the start, and a change of the picture ends only tracks that are not found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import cv2

from wsra.runtime.backbones.common.pipeline import Pipeline
from wsra.runtime.backbones.detectors import classes
from wsra.runtime.backbones.detectors.detections import Detector, DetectorCall, DetectorOutputs, pieces_of
from wsra.runtime.backbones.tracking import describe
from wsra.runtime.backbones.tracking.motion import HEIGHT_PX
from wsra.runtime.backbones.tracking.tracker import Objects, Tracker
from wsra.runtime.video.frames import Frame, Reading
from wsra.runtime.video.snippets import number_of

NAMES = (*describe.NAMES, *classes.NAMES)
WIDTH = len(NAMES)  # of a row
# Increased whenever the rows change, so that old and new ones never mix.
OBJECTS = "objects-1"

_FOLLOWS = "tracking"  # the stage after inference: boxes are read, followed and described


def detector_id(digest: str, snippet_s: float) -> str:
    """Version of the rows, digest of the detector, length of a snippet: as stored in .feat files and manifests."""
    return f"{OBJECTS}-{digest}@{snippet_s:g}s"


class DetectorBackbone:
    """Rows of the objects that a detector finds; see `wsra.runtime.backbones.registry.ObjectBackbone`.

    Args (constructor):
        detector: the detector.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.overlaps = True
        self._pipeline = Pipeline(_FOLLOWS)

    @property
    def width(self) -> int:
        """Numbers per row."""
        return WIDTH

    def stages(self) -> str:
        """See `Staged`."""
        return self._pipeline.in_words("detector")

    def id(self, snippet_s: float) -> str:
        """See `detector_id`."""
        return detector_id(self.detector.id, snippet_s)

    def reads_at(self, snippet_s: float) -> Reading:
        """The height in pixels and frames per second of the detector."""
        return Reading(max(HEIGHT_PX, self.detector.height_px), max(self.detector.frames_per_s, 1.0 / snippet_s))

    def objects(self, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Objects:
        """Track and describe the detections, while the detector runs on the next frames in another thread.

        Args:
            frames: frames in presentation order; those of up to six calls of the detector are held in memory.
            snippet_s: length of a snippet in seconds; an object has one row in each snippet in which it is found.
            seen: called with the number of each snippet when it is done.

        Returns:
            Rows of `WIDTH` numbers, each named in `NAMES`, sorted by start; colours are not corrected for light.

        Raises:
            BackboneError: the output of the detector cannot be used.
        """
        cv2.setNumThreads(1)
        tracker, index = Tracker(labels=len(classes.NAMES)), -1

        def close() -> None:
            if index >= 0:
                tracker.close_snippet((index + 1) * snippet_s)
                if seen is not None:
                    seen(index)

        def prepare(shown: Iterator[Frame], put: Callable[[tuple[list[Frame], DetectorCall]], None]) -> None:
            while batch := list(islice(shown, self.detector.per_call)):
                put((batch, self.detector.prepare([frame.image for frame in batch])))

        def infer(prepared: tuple[list[Frame], DetectorCall]) -> tuple[list[Frame], DetectorOutputs]:
            batch, call = prepared
            return batch, self.detector.infer(call)

        self._pipeline = Pipeline(_FOLLOWS, overlaps=self.overlaps)
        with closing(self._pipeline.run(frames, prepare, infer)) as results:
            for batch, outputs in results:
                for frame, found in zip(batch, self.detector.find(outputs), strict=True):
                    number = number_of(frame.time_s, snippet_s)
                    if number != index:
                        close()
                    index = number
                    tracker.add(frame.time_s, pieces_of(found, frame.image), frame.image.shape)
        close()
        return tracker.finish()[0]
