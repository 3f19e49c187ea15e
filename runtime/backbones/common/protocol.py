"""The interface of every backbone, and the name of the built-in one, which files contain."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.video.frames import Frame, Reading

if TYPE_CHECKING:
    from wsra.runtime.backbones.tracking.camera import Camera
    from wsra.runtime.backbones.tracking.tracker import Objects

BUILT_IN, BACKBONE_JSON = "motion", "backbone.json"
# Increased whenever the features change (test_motion.py pins some), so that old and new ones never mix.
BACKBONE = "motion-3"


def backbone_id(snippet_s: float) -> str:
    """Id of the built-in backbone: its name and what its numbers depend on, as stored in .feat files and manifests."""
    return f"{BACKBONE}@{snippet_s:g}s"


class Backbone(Protocol):
    """Makes the features of a .feat file; either a `SnippetBackbone` or an `ObjectBackbone`."""

    @property
    def width(self) -> int:
        """Numbers per row."""

    def id(self, snippet_s: float) -> str:
        """Name and all that the numbers depend on, as stored in .feat files and manifests."""

    def reads_at(self, snippet_s: float) -> Reading:
        """How the video must be read."""


@runtime_checkable
class SnippetBackbone(Backbone, Protocol):
    """Turns frames into features of snippets."""

    def features(self, frames: Iterator[Frame], snippet_s: float) -> Generator[tuple[int, NDArray[np.float32]], None, None]:
        """Describe snippets.

        Args:
            frames: frames in presentation order, read as `reads_at` requires.
            snippet_s: length of a snippet in seconds.

        Yields:
            (k, (width,) float32) for snippet [k * snippet_s, (k + 1) * snippet_s), k increasing; snippets without a frame are left out.
        """


@runtime_checkable
class ObjectBackbone(Backbone, Protocol):
    """Turns frames into rows of tracked objects."""

    def objects(self, frames: Iterator[Frame], snippet_s: float, seen: Callable[[int], None] | None = None) -> Objects:
        """Track and describe objects.

        Args:
            frames: frames in presentation order, read as `reads_at` requires.
            snippet_s: length of a snippet in seconds; an object has one row in each snippet in which it is seen.
            seen: called with the number k of each snippet when it is done.
        """


@runtime_checkable
class ContinuingBackbone(ObjectBackbone, Protocol):
    """An `ObjectBackbone` that can continue in the next file of a camera."""

    def continuing(self, camera: Camera) -> ObjectBackbone:
        """This backbone for the next file of a camera; see `MotionBackbone`."""
