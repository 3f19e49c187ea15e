"""Each rule of the tracker on scenes whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("scipy")

from stage import BLACK, BLUE, COLUMNS, FPS, GREEN, RED, ROWS, START_S, YELLOW, Actor, film, walk, whose

from wsra.runtime.backbones.tracking.describe import WIDTH
from wsra.runtime.backbones.tracking.motion import object_rows
from wsra.runtime.backbones.tracking.tracker import Objects
from wsra.runtime.formats.tracks import check_tracks

pytestmark = pytest.mark.device


def followed(actors: Sequence[Actor], seconds: float, **options: object) -> Objects:
    found = object_rows(film(actors, seconds, **options), 1.0)  # type: ignore[arg-type]
    check_tracks(found.tracks, rows=len(found.values), video="scene")
    assert found.values.shape[1] == WIDTH and (np.diff(found.times_s[:, 0]) >= 0).all()
    return found


def life_of(actor: Actor, seconds: float) -> tuple[float, float]:
    """When a third of it or more is in the picture."""
    times = [number / FPS for number in range(round(seconds * FPS))]
    least = 0.33 * actor.width / COLUMNS
    shown = [time_s for time_s in times if (box := actor.box(time_s)) is not None and box[2] - box[0] >= least]
    return shown[0], shown[-1] + 1 / FPS


def test_a_walker_is_one_track_with_its_life_boxes_and_views() -> None:
    actor = Actor(walk(START_S, 40))
    found = followed([actor], 40)
    assert len(found.tracks) == 1 and found.tracks.continues.tolist() == [-1]
    np.testing.assert_allclose(found.tracks.lives_s, [life_of(actor, 40)], atol=0.26)
    for row in range(1, len(found.values) - 1):
        times = found.times_s[row, 0] + np.arange(FPS) / FPS
        np.testing.assert_allclose(found.tracks.boxes[row], np.mean([actor.box(t) for t in times], axis=0), atol=0.02)
    assert 2 <= len(found.tracks.views_s) <= 4 and np.diff(np.sort(found.tracks.views_s)).min() >= 1
    assert (found.tracks.view_boxes[:, 0] > 0).all() and (found.tracks.view_boxes[:, 2] < 1).all()  # none is cut
    for time_s, box in zip(found.tracks.views_s, found.tracks.view_boxes, strict=True):
        np.testing.assert_allclose(box, actor.box(time_s), atol=0.02)


def test_an_empty_scene_has_no_rows_and_no_tracks() -> None:
    found = followed([], 30)
    assert found.values.shape == (0, WIDTH) and found.times_s.shape == (0, 2) and len(found.tracks) == 0


def test_crossing_vehicles_keep_their_identities() -> None:
    cars = [
        Actor(walk(START_S, 90, left=-60, foot=180), 56, 34, BLUE, BLUE),
        Actor(walk(START_S, -90, left=COLUMNS, foot=190), 56, 34, YELLOW, YELLOW),
    ]
    found = followed(cars, 35)
    assert len(found.tracks) == 2
    assert sorted(max(rows, key=rows.__getitem__) for rows in whose(found.tracks, found.times_s, cars)) == [0, 1]
    assert all(len(rows) == 1 for rows in whose(found.tracks, found.times_s, cars))
    np.testing.assert_allclose(np.sort(found.tracks.lives_s, axis=0), np.sort([life_of(car, 35) for car in cars], axis=0), atol=0.51)


def test_three_people_who_meet_and_part_are_three_tracks() -> None:
    stop = (START_S + 4, START_S + 6.5)
    people = [
        Actor(walk(START_S, 40, foot=200, stop=stop), upper=RED),
        Actor(walk(START_S, -40, left=COLUMNS, foot=203, stop=stop), upper=BLUE, lower=BLUE),
        Actor(walk(START_S, -80, left=COLUMNS + 178, foot=206, stop=stop), upper=YELLOW, lower=YELLOW),
    ]
    found = followed(people, 45)
    assert len(found.tracks) == 3
    assert sorted(max(rows, key=rows.__getitem__) for rows in whose(found.tracks, found.times_s, people)) == [0, 1, 2]
    np.testing.assert_allclose(np.sort(found.tracks.lives_s, axis=0), np.sort([life_of(one, 45) for one in people], axis=0), atol=0.76)


def test_somebody_who_stands_for_two_minutes_is_one_track() -> None:
    actor = Actor(walk(START_S, 40, stop=(START_S + 4, START_S + 124)))
    found = followed([actor], 160)
    assert len(found.tracks) == 1
    np.testing.assert_allclose(found.tracks.lives_s, [life_of(actor, 160)], atol=0.26)
    assert len(found.values) == pytest.approx(130, abs=3)  # a row for every second of it


def test_two_who_stand_for_ten_minutes_while_others_pass_are_two_tracks() -> None:
    standing = [Actor(walk(30, 25, stop=(36, 636))), Actor(walk(60, 30, foot=150, stop=(64, 664)), width=14, height=44, upper=BLUE)]
    passing = [Actor(walk(90 + 60 * number, 40, foot=232), upper=YELLOW) for number in range(9)]
    found = followed([*standing, *passing], 690)
    assert len(found.tracks) == 2 + 9
    long = np.argsort(found.tracks.lives_s[:, 0] - found.tracks.lives_s[:, 1])[:2]
    truth = [life_of(one, 690) for one in standing]
    np.testing.assert_allclose(np.sort(found.tracks.lives_s[long], axis=0), truth, atol=0.3)
    assert [np.count_nonzero(found.tracks.of_row == track) for track in np.sort(long)] == pytest.approx([612, 612], abs=6)


def test_who_has_gone_for_three_seconds_goes_on_and_for_six_does_not() -> None:
    for gap_s, tracks in ((3.0, 1), (6.0, 2)):
        wide = round(20 * gap_s - 18)
        actor = Actor(walk(START_S, 20))
        found = followed([actor], 40, pillars=[(90, 90 + wide)])
        assert len(found.tracks) == tracks, gap_s


def test_another_colour_after_a_gap_is_another_one() -> None:
    path = walk(START_S, 40)
    actors = [
        Actor(lambda t: path(t) if t < START_S + 4 else None),
        Actor(lambda t: path(t) if t > START_S + 6 else None, upper=GREEN, lower=GREEN),
    ]
    assert len(followed(actors, 40).tracks) == 2
    assert len(followed([Actor(lambda t: path(t) if not START_S + 4 <= t <= START_S + 6 else None)], 40).tracks) == 1


def test_a_lost_waist_is_one_thing() -> None:
    lost = (START_S + 3, START_S + 6)
    whole, parted = Actor(walk(START_S, 40)), Actor(walk(START_S, 40), waist=22)
    found = followed(
        [
            Actor(lambda t: None if lost[0] <= t < lost[1] else whole.place(t)),
            Actor(lambda t: whole.place(t) if lost[0] <= t < lost[1] else None, waist=22),
        ],
        40,
    )
    assert parted.height == whole.height and len(found.tracks) == 1
    np.testing.assert_allclose(found.tracks.lives_s, [life_of(whole, 40)], atol=0.26)
    within = (found.times_s[:, 0] >= lost[0] - 0.1) & (found.times_s[:, 1] <= lost[1] + 0.1)
    np.testing.assert_allclose(found.tracks.boxes[within, 1], (200 - 60) / ROWS, atol=0.02)  # head and feet are in one box


def test_noise_that_never_moves_is_dropped() -> None:
    def flicker(image: np.ndarray, time_s: float) -> None:
        if time_s > START_S and int(time_s * FPS) % 3:
            image[60:76, 100:116] = (230, 230, 230)

    assert len(followed([], 60, over=flicker).tracks) == 0


def test_a_single_flash_is_dropped() -> None:
    def flash(image: np.ndarray, time_s: float) -> None:
        for number, moment in enumerate((25.0, 25.25)):
            if time_s == moment:
                image[60:80, 100 + 30 * number : 120 + 30 * number] = (230, 230, 230)

    assert len(followed([], 35, over=flash).tracks) == 0


def test_who_leaves_at_the_edge_is_not_the_next_who_comes_there() -> None:
    first = Actor(walk(START_S, 40, left=COLUMNS / 2))
    second = Actor(walk(START_S + 6.0, -40, left=COLUMNS - 2))
    found = followed([first, second], 45)
    assert len(found.tracks) == 2
    np.testing.assert_allclose(found.tracks.lives_s[0, 1], life_of(first, 45)[1], atol=0.26)


def test_a_bicycle_of_ten_pixels_is_kept() -> None:
    bicycle = Actor(walk(START_S, 50, left=-14, foot=120), 14, 10, BLACK, RED)
    found = followed([bicycle], 40)
    assert len(found.tracks) == 1
    np.testing.assert_allclose(found.tracks.lives_s, [life_of(bicycle, 40)], atol=0.51)


def test_how_frames_come_makes_no_difference() -> None:
    actors = [Actor(walk(START_S, 40)), Actor(walk(START_S + 2, -35, left=COLUMNS, foot=220), upper=BLUE)]
    one = object_rows(film(actors, 40), 1.0)
    held = iter(list(film(actors, 40)))
    other = object_rows(held, 1.0)
    np.testing.assert_array_equal(one.values, other.values)
    for name, array in one.tracks.arrays().items():
        np.testing.assert_array_equal(array, other.tracks.arrays()[name])


def test_what_follows_does_not_change_what_was_written() -> None:
    """Streaming: rows of the first 40 s are the same, however the scene goes on."""
    actors = [Actor(walk(START_S, 20)), Actor(walk(START_S + 30, -35, left=COLUMNS, foot=220), upper=BLUE)]
    short, long = object_rows(film(actors, 35), 1.0), object_rows(film(actors, 70), 1.0)
    assert len(short.values) > 10
    np.testing.assert_array_equal(short.values, long.values[: len(short.values)])
    np.testing.assert_array_equal(short.times_s, long.times_s[: len(short.values)])


def test_a_track_ends_where_the_camera_was_moved() -> None:
    def moved(image: np.ndarray, time_s: float) -> None:
        if time_s >= 28:
            image[:] = np.clip(image[:, ::-1].astype(int) + np.linspace(-70, 70, COLUMNS)[None, :, None], 0, 255).astype(np.uint8)

    found = followed([Actor(walk(START_S, 24))], 60, over=moved)
    assert found.tracks.lives_s[0, 1] == pytest.approx(28.0) and found.times_s[found.tracks.of_row == 0].max() == pytest.approx(28.0)


@pytest.mark.parametrize("fps", [1, 2])
def test_rare_frames_are_followed_too(fps: int) -> None:
    actor = Actor(walk(START_S, 20))
    found = followed([actor], 45, fps=fps)
    assert len(found.tracks) == 1
    np.testing.assert_allclose(found.tracks.lives_s, [life_of(actor, 45)], atol=1.5 / fps)
