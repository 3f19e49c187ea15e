"""The empty scene of a fixed camera and what differs from it, in painted pictures of 120 and of 240 rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("cv2")

from wsra.runtime.backbones.tracking.background import Background, lengths_px, middle_of, pieces_of

pytestmark = pytest.mark.device
RED, YELLOW, GREY = (30, 30, 200), (20, 200, 230), (72, 72, 72)
Paint = Callable[[np.ndarray, float], None]


class Camera:
    """Pictures of a street of a given height; places are told in pixels at 120 rows, people are 40 of them high."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        self.rng, self.scale = np.random.default_rng(seed), rows // 120

    def picture(self, *, light: float = 1.0) -> np.ndarray:
        ground = np.full((120 * self.scale, 160 * self.scale, 3), 120.0)
        ground[:, :: 16 * self.scale] += 15
        return np.clip(light * ground + self.rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)

    def box(self, left: int, top: int, right: int, bottom: int) -> tuple[slice, slice]:
        return np.s_[top * self.scale : bottom * self.scale, left * self.scale : right * self.scale]

    def person(self, image: np.ndarray, x: int, colour: tuple[int, int, int]) -> None:
        image[self.box(x, 60, x + 12, 80)] = colour
        image[self.box(x + 2, 80, x + 10, 100)] = (70, 40, 30)

    def started(self) -> Background:
        return Background([self.picture() for _ in range(21)])


@pytest.fixture(params=[120, 240])
def camera(request: pytest.FixtureRequest) -> Camera:
    return Camera(request.param)


def test_the_light_changes_and_nothing_is_seen(camera: Camera) -> None:
    background = camera.started()
    covered = [background.subtract(camera.picture(light=1 + 0.15 * np.sin(t / 12)), elapsed_s=0.25)[1].mean() for t in range(120)]
    assert max(covered) < 0.002


def test_the_frame_is_given_in_the_light_of_the_background(camera: Camera) -> None:
    background = camera.started()
    image, _ = background.subtract(camera.picture(light=0.7), elapsed_s=0.25)
    assert float(image.mean()) == pytest.approx(float(camera.picture().mean()), abs=2)


def test_a_person_is_one_piece_in_its_place(camera: Camera) -> None:
    background, image = camera.started(), camera.picture()
    camera.person(image, 60, YELLOW)
    _, foreground = background.subtract(image, elapsed_s=0.25)
    ((left, top, mask),) = pieces_of(foreground, 30)
    box = np.array([left, top, left + mask.shape[1], top + mask.shape[0]]) / camera.scale
    assert box == pytest.approx([60, 60, 72, 100], abs=1.5)
    assert 0.95 < mask.sum() / camera.scale**2 / (12 * 20 + 8 * 20) < 1.3  # the blur adds a rim


def test_somebody_in_the_colour_of_the_ground_darkened_has_legs_all_the_same(camera: Camera) -> None:
    """Grey trousers are what a shadow looks like, but there is a coat above them."""
    background, image = camera.started(), camera.picture()
    image[camera.box(60, 60, 72, 80)] = RED
    image[camera.box(62, 80, 70, 100)] = GREY
    _, foreground = background.subtract(image, elapsed_s=0.25)
    assert foreground[camera.box(63, 82, 69, 98)].mean() > 0.95


def test_a_shadow_on_the_ground_is_not_seen(camera: Camera) -> None:
    background, image = camera.started(), camera.picture()
    shaded = camera.box(40, 80, 90, 96)
    image[shaded] = (image[shaded] * 0.65).astype(np.uint8)
    _, foreground = background.subtract(image, elapsed_s=0.25)
    assert foreground.mean() < 0.002


def test_a_gap_in_a_thing_is_closed_and_two_things_stay_two(camera: Camera) -> None:
    background, image = camera.started(), camera.picture()
    image[camera.box(60, 60, 72, 78)] = RED  # a waist like the ground of 3 rows
    image[camera.box(60, 81, 72, 100)] = RED
    image[camera.box(100, 60, 108, 100)] = RED
    image[camera.box(114, 60, 122, 100)] = RED  # six columns apart
    _, foreground = background.subtract(image, elapsed_s=0.25)
    assert len(list(pieces_of(foreground, 30))) == 3


def test_who_stands_for_five_minutes_is_still_seen_and_the_ground_learns_meanwhile(camera: Camera) -> None:
    background = camera.started()
    for t in range(300):
        image = camera.picture(light=1.0)
        image[camera.box(120, 20, 140, 40)] = (140, 120, 120)  # a poster that was put up
        if t == 0:
            image[camera.box(120, 20, 140, 40)] = (120, 120, 120)
        camera.person(image, 60, YELLOW)
        _, foreground = background.subtract(image, elapsed_s=1.0)
    assert foreground[camera.box(61, 61, 71, 99)].mean() > 0.7


def test_who_was_taken_for_background_leaves_no_ghost(camera: Camera) -> None:
    frames = []
    for _ in range(21):
        image = camera.picture()
        camera.person(image, 60, RED)
        frames.append(image)
    background = Background(frames)
    areas = [background.subtract(camera.picture(), elapsed_s=0.25)[1].mean() for _ in range(12)]
    assert areas[0] > 0.01 and max(areas[5:]) < 0.001


def test_what_fills_the_whole_frame_is_no_trouble(camera: Camera) -> None:
    background, image = camera.started(), camera.picture()
    image[:] = RED
    assert background.subtract(image, elapsed_s=1.0)[1].mean() > 0.99
    assert all(np.isfinite(array).all() for array in background.arrays().values())


def test_another_one_goes_on_where_it_stood(camera: Camera) -> None:
    background, frames = camera.started(), [camera.picture(light=1 + t / 40) for t in range(9)]
    for number, image in enumerate(frames):
        camera.person(image, 20 + 8 * number, YELLOW)
    for image in frames[:5]:
        background.subtract(image, elapsed_s=0.25)
    other = Background.from_arrays(background.arrays())
    for image in frames[5:]:
        for one, two in zip(background.subtract(image, elapsed_s=0.25), other.subtract(image, elapsed_s=0.25), strict=True):
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(background.light, other.light)


def test_the_light_of_a_scene_is_told_within_limits() -> None:
    def lit(*colour: float) -> np.ndarray:
        return Background([np.full((120, 160, 3), colour).astype(np.uint8)] * 3).light

    assert lit(190, 190, 190) == pytest.approx([1, 1, 1], abs=0.01)
    assert lit(95, 95, 95) == pytest.approx([1.25] * 3, abs=0.01)  # no more, though it is half as bright
    warm = lit(171, 190, 209)
    assert warm == pytest.approx([1.111, 1, 0.909], abs=0.01)
    np.testing.assert_allclose(np.array([171, 190, 209]) * warm, 190, atol=1)
    assert lit(60, 190, 200) == pytest.approx([1.14 * 1.25, 0.88 * 1.25, 0.88 * 1.25], rel=0.15)  # night lamps: held back


def test_lengths_follow_the_height() -> None:
    assert [lengths_px(3, rows) for rows in (40, 120, 200, 280, 360)] == [1, 3, 5, 7, 9]
    assert all(lengths_px(7, rows) % 2 == 1 for rows in range(16, 600))


def test_a_piece_owns_what_lies_in_its_holes_but_not_what_lies_beside_it() -> None:
    foreground = np.zeros((60, 80), bool)
    foreground[10:40, 10:40] = True
    foreground[15:35, 15:35] = False
    foreground[20:25, 20:25] = True  # an island
    foreground[12:38, 42:46] = True  # a neighbour within no box
    found = sorted((left, top, mask.shape, int(mask.sum())) for left, top, mask in pieces_of(foreground, 20))
    assert found == [(10, 10, (30, 30), 900 - 400 + 25), (42, 12, (26, 4), 104)]
    assert list(pieces_of(foreground, 1000)) == []


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16, 20, 21])
def test_the_middle_of_pictures_is_their_median(count: int) -> None:
    stack = np.random.default_rng(count).integers(0, 256, (count, 6, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(middle_of(list(stack)), np.sort(stack, axis=0)[(count - 1) // 2])
