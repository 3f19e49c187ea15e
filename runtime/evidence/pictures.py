"""The pictures of a moment: its best frame, with the box, and a strip of crops of the object over the moment."""

from __future__ import annotations

from dataclasses import dataclass

from wsra.runtime.drawing.boxes import Box, Picture, crop, fitted, with_box
from wsra.runtime.errors import VideoError
from wsra.runtime.evidence.exhibits import Exhibit, Part
from wsra.runtime.files.limits import PIXELS
from wsra.runtime.video.stills import stills

CROPS = 6
_CROP_PX = (200, 130)  # at most, width and height


@dataclass(frozen=True)
class Still:
    """A picture of a moment.

    Attributes:
        picture: (H, W, 3) uint8 BGR, upright.
        time_s: in seconds of its video.
        box: of the object as shares of the picture; None where it is not known.
    """

    picture: Picture
    time_s: float
    box: Box | None

    def boxed(self, width_px: int, height_px: int) -> Picture:
        """The picture, not larger than that, with the box."""
        small = fitted(self.picture, width_px, height_px)
        return small if self.box is None else with_box(small, self.box)


@dataclass(frozen=True)
class Pictures:
    """The pictures of one moment.

    Attributes:
        best: the best frame, or None where there is none.
        strip: crops in order of time; whole pictures where no object is known.
        missing: why there is none; empty where there is.
    """

    best: Still | None
    strip: tuple[Still, ...]
    missing: str


def pictures_of(exhibit: Exhibit, *, crops: int = CROPS) -> Pictures:
    """Read the pictures of a moment from its videos; a video that is damaged there gives none.

    Args:
        exhibit: the moment.
        crops: how many pictures the strip has at most; an object is not shown where it is hidden.

    Raises:
        MissingExtraError: PyAV or OpenCV is not installed.
    """
    best_part, best_s = exhibit.best
    wanted = [(best_part, best_s), *(exhibit.at((number + 0.5) / crops) for number in range(crops))]
    taken: dict[tuple[int, float], Still] = {}
    missing = best_part.source.missing
    for part in {id(part): part for part, _ in wanted}.values():
        times_s = list(dict.fromkeys(time_s for other, time_s in wanted if other is part))
        if part.source.file is None:
            continue
        try:
            frames = stills(part.source.file, times_s, height_px=PIXELS)
        except VideoError as err:
            missing = missing or str(err)
            continue
        for time_s, frame in zip(times_s, frames, strict=True):
            taken[id(part), time_s] = Still(frame.image, time_s, exhibit.box(part, time_s))
    strip = [_cropped(exhibit, part, taken.get((id(part), time_s))) for part, time_s in wanted[1:]]
    best = taken.get((id(best_part), best_s))
    return Pictures(best, tuple(still for still in strip if still is not None), "" if best is not None else missing)


def _cropped(exhibit: Exhibit, part: Part, still: Still | None) -> Still | None:
    """What the strip shows: the object; nothing where it is hidden; the whole picture where no object is known."""
    if still is None or (still.box is None and part.path is not None):
        return None
    picture = still.picture if still.box is None else crop(still.picture, still.box)
    return Still(fitted(picture, *_CROP_PX), still.time_s, None)
