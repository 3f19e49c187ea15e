"""What every backbone offers, and the name of the built-in one, which stands in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.video.frames import Frame, Reading

if TYPE_CHECKING:
    from wsra.runtime.backbones.tracking.camera import Camera
    from wsra.runtime.backbones.tracking.tracker import Objects

BUILT_IN, BACKBONE_JSON = "motion", "backbone.json"
# Counted up whenever a number of the features changes (test_motion.py pins some), so that old and new never mix.
BACKBONE = "motion-3"


def backbone_id(snippet_s: float) -> str:
    """Name of the built-in backbone with what its numbers depend on, as a .feat file and a manifest carry it."""
    return f"{BACKBONE}@{snippet_s:g}s"


class Backbone(Protocol):
    """What a .feat file is made with: either a `SnippetBackbone` or an `ObjectBackbone`."""

    @property
    def width(self) -> int:
        """Numbers per row."""

    def id(self, snippet_s: float) -> str:
        """Name with all that the numbers depend on, as a .feat file and a manifest carry it."""

    def reads_at(self, snippet_s: float) -> Reading:
        """How a video must be read."""


@runtime_checkable
class SnippetBackbone(Backbone, Protocol):
    """Frames in, features of snippets out."""

    def features(self, frames: Iterator[Frame], snippet_s: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Describe snippets.

        Args:
            frames: in presentation order, as `reads_at` says.
            snippet_s: length of a snippet in seconds.

        Yields:
            (k, (width,) float32) for snippet [k * snippet_s, (k + 1) * snippet_s), k increasing; those without a frame are left out.
        """


@runtime_checkable
class ObjectBackbone(Backbone, Protocol):
    """Frames in, rows of tracked objects out."""

    def objects(self, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Objects:
        """Follow and describe objects.

        Args:
            frames: in presentation order, as `reads_at` says.
            snippet_s: length of a snippet in seconds; an object has one row in each in which it is seen.
            seen: called with the number k of each snippet that was described.
        """


@runtime_checkable
class ContinuingBackbone(ObjectBackbone, Protocol):
    """An `ObjectBackbone` that can go on in the next file of a camera."""

    def continuing(self, camera: Camera) -> ObjectBackbone:
        """The same for the next file of a camera; see `MotionBackbone`."""
