"""The regions of a frame to encode: the whole, its quarters, or what moves. A person is small in a surveillance frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, cast, get_args

import cv2

from wsra.runtime.backbones.tracking.background import Background, Image
from wsra.runtime.backbones.tracking.blobs import Blob, find_blobs
from wsra.runtime.backbones.tracking.motion import FRAMES_PER_S, WARM_UP_S, first_background, shots
from wsra.runtime.video.frames import Frame
from wsra.runtime.video.snippets import by_snippet, frames_per_s, uniform

Regions = Literal["whole", "grid", "moving", "tracks"]
REGIONS: tuple[Regions, ...] = get_args(Regions)
SLOTS: dict[Regions, int] = {"whole": 1, "grid": 5, "moving": 3, "tracks": 1}  # embeddings per row
HEIGHT_PX = 120  # frames are reduced to this height to find what moves
MOVING_HEIGHT_PX = 480  # minimum height of the frames that moving regions are cropped from
MARGIN = 0.15  # fraction of a moving object's height, added on each side
MIN_SIDE = 0.2  # fraction of the frame's height; smaller objects are cropped with their surroundings

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside


@dataclass(frozen=True)
class Sample:
    """The frames and regions of one snippet to encode.

    Attributes:
        number: number of the snippet.
        images: its frames, each (H, W, 3) uint8 BGR.
        boxes: for each frame, the whole and then its regions, at most `SLOTS`; the whole frame stands for missing ones.
    """

    number: int
    images: list[Image]
    boxes: list[list[Box]]


def read_at(regions: Regions, *, count: int, snippet_s: float, input_height_px: int) -> tuple[int, float]:
    """Height in pixels and frames per second at which a video must be read, so that regions have enough detail for the encoder."""
    rate, height_px = frames_per_s(count, snippet_s), 2 * input_height_px
    return (max(height_px, MOVING_HEIGHT_PX), max(rate, FRAMES_PER_S)) if regions == "moving" else (height_px, rate)


def samples(frames: Iterable[Frame], regions: Regions, *, count: int, snippet_s: float, aspect: float) -> Iterator[Sample]:
    """Choose frames and regions, snippet by snippet.

    Args:
        frames: frames in presentation order, at the rate of `read_at`.
        regions: "whole", "grid" (adds the quarters: top left, top right, bottom left, bottom right) or "moving" (adds the two
            largest moving objects of each frame, the largest first).
        count: frames per snippet.
        snippet_s: length of a snippet in seconds.
        aspect: width / height of the encoder's input; boxes of moving objects get this shape.

    Yields:
        Snippets that have a frame, in order. With "moving" the first ones come when the background is known, 20 s into a shot.
    """
    if regions == "moving":
        yield from _moving(frames, count, snippet_s, aspect)
        return
    for number, group in by_snippet(frames, snippet_s):
        images = [frame.image for frame in uniform(group, number, snippet_s, count=count)]
        yield Sample(number, images, [_grid(image) if regions == "grid" else [_whole(image)] for image in images])


def _whole(image: Image) -> Box:
    return 0, 0, image.shape[1], image.shape[0]


def _grid(image: Image) -> list[Box]:
    height, width = image.shape[:2]
    rows, columns = ((0, height // 2), (height // 2, height)), ((0, width // 2), (width // 2, width))
    return [_whole(image), *((left, top, right, bottom) for top, bottom in rows for left, right in columns)]


@dataclass(frozen=True)
class _Watched(Frame):
    """A frame at the background's size; `full` is encoded `uses` times for snippet `number`."""

    number: int
    full: Image | None
    uses: int


def _moving(frames: Iterable[Frame], count: int, snippet_s: float, aspect: float) -> Iterator[Sample]:
    found = _with_blobs(_watched(frames, count, snippet_s))
    for number, group in groupby(found, lambda pair: pair[0].number):
        images, boxes = [], []
        for frame, blobs in group:
            if frame.full is not None:
                images += [frame.full] * frame.uses
                boxes += [[_whole(frame.full), *(box_of(blob, frame.full, aspect) for blob in blobs[: SLOTS["moving"] - 1])]] * frame.uses
        yield Sample(number, images, boxes)


def _watched(frames: Iterable[Frame], count: int, snippet_s: float) -> Iterator[_Watched]:
    """All frames, reduced for the background; only those to encode keep their full size, because 20 s of frames stay in memory."""
    for number, group in by_snippet(frames, snippet_s):
        reduced: list[Frame] = []

        def seen(group: Iterator[Frame] = group, reduced: list[Frame] = reduced) -> Iterator[Frame]:
            for frame in group:
                reduced.append(Frame(frame.time_s, _reduced(frame.image)))
                yield frame

        chosen = uniform(seen(), number, snippet_s, count=count)
        full, uses = {frame.time_s: frame.image for frame in chosen}, Counter(frame.time_s for frame in chosen)
        for frame in reduced:
            yield _Watched(frame.time_s, frame.image, number, full.get(frame.time_s), uses[frame.time_s])


def _reduced(image: Image) -> Image:
    height, width = image.shape[:2]
    if height <= HEIGHT_PX:
        return image
    return cv2.resize(image, (max(2, round(width * HEIGHT_PX / height)), HEIGHT_PX), interpolation=cv2.INTER_AREA)


def _with_blobs(frames: Iterator[_Watched]) -> Iterator[tuple[_Watched, list[Blob]]]:
    """Each frame with what differs from the empty scene; a cut starts a new scene, as in the `motion` backbone."""
    last_s = 0.0

    def compared(background: Background, held: list[_Watched]) -> Iterator[tuple[_Watched, list[Blob]]]:
        nonlocal last_s
        for frame in held:
            image, foreground = background.subtract(frame.image, elapsed_s=max(frame.time_s - last_s, 0.0))
            last_s = frame.time_s
            yield frame, find_blobs(image, foreground) if frame.full is not None else []

    for shot in shots(frames):
        background: Background | None = None
        held: list[_Watched] = []
        for frame in cast("Iterator[_Watched]", shot):
            if background is None:
                held.append(frame)
                if frame.time_s - held[0].time_s < WARM_UP_S:
                    continue
                background = first_background([*held])
            else:
                held = [frame]
            yield from compared(background, held)
        if background is None:
            yield from compared(first_background([*held]), held)


def box_of(blob: Blob, image: Image, aspect: float, *, least: float = MIN_SIDE) -> Box:
    """A box around a moving object: with a margin, a minimum size and the encoder's aspect ratio, inside the frame if it fits.

    Args:
        blob: the object, found at any size of the frame.
        image: the frame (H, W, 3) that the box is for.
        aspect: width / height of the box, if the frame has room for it.
        least: minimum height and width, as a fraction of the frame's height.
    """
    rows, columns = image.shape[:2]
    tall, wide = blob.height * rows, blob.width * columns
    margin = MARGIN * tall
    height = max(tall + 2 * margin, least * rows)
    width = max(wide + 2 * margin, least * rows)
    height, width = max(height, width / aspect), max(width, height * aspect)
    height, width = min(round(height), rows), min(round(width), columns)
    left = min(max(0, round(blob.x * columns - width / 2)), columns - width)
    top = min(max(0, round((blob.foot - blob.height / 2) * rows - height / 2)), rows - height)
    return left, top, left + width, top + height
