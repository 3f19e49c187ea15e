"""What of a frame is encoded: quarters by hand, and moving people in films."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

from wsra.runtime.backbones.encoders.regions import Box, Sample, box_of, read_at, samples
from wsra.runtime.backbones.tracking.blobs import Blob, Piece, described
from wsra.runtime.formats.annotations import read_annotations
from wsra.runtime.video.frames import Frame, Video

pytestmark = pytest.mark.device
RED, BLUE = (30, 30, 200), (200, 60, 20)
Paint = Callable[[np.ndarray, float], None]


def film(seconds: int, paint: Paint) -> Iterator[Frame]:
    rng = np.random.default_rng(0)
    yard = np.full((480, 640, 3), 120.0)
    yard[:, ::64] += 15
    grains = [rng.normal(0, 2, yard.shape) for _ in range(4)]
    for number in range(seconds * 4):
        image = np.clip(yard + grains[number % 4], 0, 255).astype(np.uint8)
        paint(image, number / 4)
        yield Frame(number / 4, image)


def person(image: np.ndarray, x: int, colour: tuple[int, int, int], height: int = 160) -> None:
    image[400 - height : 400 - height // 2, x : x + height // 3] = colour
    image[400 - height // 2 : 400, x + 6 : x + height // 3 - 6] = (70, 40, 30)


def moving(seconds: int, paint: Paint, count: int = 1) -> list[Sample]:
    return list(samples(film(seconds, paint), "moving", count=count, snippet_s=1.0, aspect=1.0))


def holds(box: Box, x: int, height: int = 160) -> bool:
    left, top, right, bottom = box
    return left <= x and top <= 400 - height and right >= x + height // 3 and bottom >= 400


def test_quarters_tile_the_frame_in_a_fixed_order() -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    (sample,) = samples(iter([Frame(0.0, image)]), "grid", count=1, snippet_s=1.0, aspect=1.0)
    assert sample.boxes == [[(0, 0, 7, 5), (0, 0, 3, 2), (3, 0, 7, 2), (0, 2, 3, 5), (3, 2, 7, 5)]]


def test_a_walker_is_the_region_and_an_empty_yard_has_none() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if 30 <= t < 40:
            person(image, int((t - 30) * 55), RED)

    found = moving(45, paint)
    assert [sample.number for sample in found] == list(range(45))
    for sample in found:
        (boxes,) = sample.boxes
        if 30 <= sample.number < 40:
            assert len(boxes) == 2 and holds(boxes[1], int((sample.number + 0.5 - 30) * 55)), sample.number
        else:
            assert boxes == [(0, 0, 640, 480)], sample.number


def test_who_stands_still_for_twenty_seconds_and_more_stays_a_region() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if t >= 25:
            person(image, min(300, int((t - 25) * 150)), RED)

    for sample in moving(75, paint)[28:]:  # it stands from 27 s on
        (boxes,) = sample.boxes
        assert len(boxes) == 2 and holds(boxes[1], 300), sample.number


def test_the_two_largest_the_largest_first() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if t >= 25:
            person(image, 40, BLUE, 100)
            person(image, 300, RED, 160)
            person(image, 560, RED, 60)

    (boxes,) = moving(30, paint)[27].boxes
    assert len(boxes) == 3 and holds(boxes[1], 300, 160) and holds(boxes[2], 40, 100)


def test_each_frame_of_a_snippet_has_its_own_regions_and_few_frames_come_again() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if 25 <= t < 30:
            person(image, int((t - 25) * 110), RED)

    sample = moving(32, paint, count=2)[27]
    assert holds(sample.boxes[0][1], int(2.25 * 110)) and holds(sample.boxes[1][1], int(2.75 * 110))
    repeated = moving(3, lambda image, t: None, count=8)[1]  # four frames in the second, eight wanted
    assert len(repeated.images) == len(repeated.boxes) == 8


def test_no_more_than_the_chosen_frames_is_held_while_the_background_is_learnt() -> None:
    class Referable(np.ndarray):
        pass

    given: list[weakref.ref[Referable]] = []
    most = 0

    def frames() -> Iterator[Frame]:
        nonlocal most
        for number in range(30 * 8):
            image = np.full((480, 640, 3), 100, np.uint8).view(Referable)
            given.append(weakref.ref(image))
            yield Frame(number / 8, image)
            most = max(most, sum(reference() is not None for reference in given))

    assert sum(1 for _ in samples(frames(), "moving", count=1, snippet_s=1.0, aspect=1.0)) == 30
    assert 20 <= most < 26  # one of each of the first 20 s, and what passes


@pytest.mark.parametrize("name", ["car-detection", "one-by-one-person-detection"])
def test_every_labelled_second_of_real_footage_has_a_region(data_folder: Path, name: str) -> None:
    pytest.importorskip("av")
    folder = data_folder / "footage"
    windows = [window for row in read_annotations(folder / "annotations.jsonl") if row.vid == name for window in row.windows_s]
    height_px, rate = read_at("moving", count=1, snippet_s=1.0, input_height_px=224)
    with Video(folder / f"{name}.mp4", height_px=height_px, frames_per_s=rate) as video:
        found = {s.number + 0.5: s.boxes[0][1:] for s in samples(video.frames(), "moving", count=1, snippet_s=1.0, aspect=1.0)}
    labelled = [middle for middle in found if any(start <= middle <= end for start, end in windows)]
    assert len(labelled) > 10 and all(found[middle] for middle in labelled)
    assert not all(found.values())  # and where nothing moves there is none


def blob(x: float, foot: float, width: float, height: float) -> Blob:
    image, mask = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool)
    return replace(described(Piece(0, 0, 1, 1, 1, mask, image), (2, 2), None), x=x, foot=foot, width=width, height=height)


@pytest.mark.parametrize(
    ("found", "aspect", "expected"),
    [
        (blob(0.5, 0.75, 0.125, 0.5), 1.0, (164, 84, 476, 396)),  # 240 + 2 x 36 rows, then square, around (320, 240)
        (blob(0.5, 0.75, 0.125, 0.5), 0.5, (242, 84, 398, 396)),
        (blob(0.01, 0.05, 0.01, 0.05), 1.0, (0, 0, 96, 96)),  # at least a fifth of the frame's height, moved inside
        (blob(0.5, 1.0, 0.3, 1.0), 1.0, (8, 0, 632, 480)),  # taller than the frame with its margin: cut
    ],
)
def test_boxes(found: Blob, aspect: float, expected: Box) -> None:
    assert box_of(found, np.zeros((480, 640, 3), np.uint8), aspect) == expected


def test_videos_are_read_as_finely_as_regions_deserve() -> None:
    assert read_at("whole", count=1, snippet_s=1.0, input_height_px=224) == (448, 2.0)
    assert read_at("moving", count=1, snippet_s=1.0, input_height_px=112) == (480, 4.0)
    assert read_at("grid", count=16, snippet_s=2.0, input_height_px=112) == (224, 16.0)
