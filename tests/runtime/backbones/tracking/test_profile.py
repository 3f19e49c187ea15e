"""What is kept of a track: when it is in view without knowing beforehand how large it will be, and no more memory after hours."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("scipy")

from wsra.runtime.backbones.tracking.blobs import Piece
from wsra.runtime.backbones.tracking.profile import MOST_SIZES, MOST_STEPS, Sizes, Span, begun
from wsra.runtime.backbones.tracking.tracker import Tracker
from wsra.runtime.backbones.tracking.tracks import HELD_ROWS
from wsra.runtime.backbones.tracking.views import APART_S, MOST, View, Views, sharpness_of

pytestmark = pytest.mark.device
COLOURS = np.zeros((3, 15), np.float32)


def truth(areas: np.ndarray, cut: np.ndarray, share: float) -> tuple[int, int]:
    """The first and the last time of which so much is in view, by the rule itself, with all of them at hand."""
    times = np.flatnonzero(~cut | (areas >= share * np.percentile(areas, 75)))
    return int(times[0]), int(times[-1])


@pytest.mark.parametrize("seed", range(20))
def test_a_span_found_on_the_way_is_the_span_found_with_all_at_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 200))
    areas = np.interp(np.arange(count), [0, count / 3, 2 * count / 3, count], [0.001, 0.1, 0.08, 0.001]) * rng.uniform(0.95, 1.05, count)
    cut = rng.random(count) < rng.choice([0.0, 0.5, 1.0])
    middle = int(rng.integers(1, count))
    span, later = Span(), Span()
    for time_s, (area, is_cut) in enumerate(zip(areas.tolist(), cut.tolist(), strict=True)):
        (span if time_s < middle else later).see(float(time_s), area, cut=is_cut)
    if middle < count:
        span.extend(later)
    start_s, end_s = span.between(float(np.percentile(areas, 75)))
    exact, more, less = (truth(areas, cut, 0.33 * off) for off in (1.0, 1.1**2, 1 / 1.1**2))  # areas are known to a tenth
    assert exact[0] <= start_s <= more[0]
    assert exact[1] <= end_s <= less[1]


def test_where_it_is_never_more_than_a_sliver_all_of_it_counts() -> None:
    span = Span()
    for time_s, area in enumerate([0.001, 0.001, 0.001]):
        span.see(float(time_s), area, cut=True)
    assert span.between(0.1) == (0.0, 2.0)


def test_sizes_of_hours_are_as_many_as_those_of_a_minute() -> None:
    sizes = Sizes()
    for number in range(100_000):
        sizes.add(0.01 + 0.01 * (number % 4 == 0), 0.1, 0.2)
    assert len(sizes.values) <= MOST_SIZES and sizes.median() == (0.1, 0.2)
    assert sizes.stride == 512


def test_a_day_at_the_edge_takes_no_memory() -> None:
    rng = np.random.default_rng(0)
    profile = begun(0.0, (0.0, 0.2, 0.1, 0.6), 0.01, COLOURS)
    for number in range(1, 50_000):
        profile.see(number / 4, (0.0, 0.2, 0.1, 0.6), float(rng.uniform(0.001, 0.2)), COLOURS)
    assert len(profile.span.rising) <= MOST_STEPS and len(profile.span.falling) <= MOST_STEPS
    assert len(profile.sizes.values) <= MOST_SIZES and len(profile.closing) == 8 and profile.count == 50_000


def test_who_comes_in_over_an_edge_has_moved_before_its_middle_has() -> None:
    """Seen from above the door: first the feet, at the lower edge, then all of it."""
    profile = begun(0.0, (0.4, 0.8, 0.6, 1.0), 0.04, COLOURS)
    for number in range(1, 9):
        profile.see(number / 4, (0.4, 0.8 - 0.1 * min(number, 6), 0.6, 1.0), 0.04 + 0.02 * number, COLOURS)
    assert profile.moved() > 0.7
    inside = begun(0.0, (0.4, 0.7, 0.6, 0.9), 0.04, COLOURS)
    for number in range(1, 9):
        inside.see(number / 4, (0.4, 0.7 - 0.1 * (number % 2), 0.6, 0.9), 0.04, COLOURS)
    assert inside.moved() < 0.5  # the same flicker in the middle of the picture is no way


def test_views_are_the_best_and_apart() -> None:
    views = Views()
    for number in range(40):
        views.add(View(float(np.sin(number / 7)), number / 4, (0.0, 0.0, 1.0, 1.0)))
    times = np.sort([view.time_s for view in views.kept])
    assert len(times) == MOST and np.diff(times).min() >= APART_S
    assert views.kept[0].time_s == 11 / 4  # the largest sine
    assert [view.worth for view in views.kept] == sorted((view.worth for view in views.kept), reverse=True)


def test_a_blurred_picture_is_less_sharp() -> None:
    import cv2

    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    mask = np.ones((40, 40), bool)
    assert sharpness_of(np.asarray(cv2.blur(image, (5, 5))), mask) < 0.2 * sharpness_of(image, mask)


def test_what_never_moves_holds_no_more_after_an_hour_than_after_minutes() -> None:
    tracker, image, mask = Tracker(), np.full((30, 20, 3), 90, np.uint8), np.ones((30, 20), bool)
    for number in range(3600):
        tracker.add(float(number), [Piece(100, 100, 20, 30, 600, mask, image)], (240, 320))
        tracker.close_snippet()
    (track,) = tracker._live
    assert len(track.held) == HELD_ROWS and track.seen == [] and track.profile.count == 3600
    found, carried = tracker.finish()
    assert found.values.shape == (0, 186) and len(carried) == 1 and not carried[0].held


def test_who_moves_at_last_has_lived_from_the_first_row_that_was_held() -> None:
    tracker, image, mask = Tracker(), np.full((30, 20, 3), 90, np.uint8), np.ones((30, 20), bool)
    for number in range(4 * 300):
        left = 100 + max(0, number - 4 * 290)
        tracker.add(number / 4, [Piece(left, 100, 20, 30, 600, mask, image)], (240, 320))
        if number % 4 == 3:
            tracker.close_snippet((number + 1) / 4)
    found, _ = tracker.finish()
    assert len(found.tracks) == 1 and found.tracks.lives_s[0, 1] == 300.0
    assert found.tracks.lives_s[0, 0] == found.times_s[0, 0] == pytest.approx(290 - HELD_ROWS, abs=15)
