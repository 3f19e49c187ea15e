from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from wsra.runtime.backbones.common.protocol import BACKBONE, backbone_id  # noqa: E402
from wsra.runtime.backbones.tracking.background import Background  # noqa: E402
from wsra.runtime.backbones.tracking.blobs import MATCHED, find_blobs  # noqa: E402
from wsra.runtime.backbones.tracking.colours import COLOURS  # noqa: E402
from wsra.runtime.backbones.tracking.describe import NAMES  # noqa: E402
from wsra.runtime.backbones.tracking.motion import WIDTH, object_rows  # noqa: E402
from wsra.runtime.backbones.tracking.tracker import Objects  # noqa: E402
from wsra.runtime.extraction.batch import extract_batch, extract_features  # noqa: E402
from wsra.runtime.extraction.provenance import is_current  # noqa: E402
from wsra.runtime.formats.annotations import read_annotations  # noqa: E402
from wsra.runtime.formats.features import read_features  # noqa: E402
from wsra.runtime.spans.moments import iou  # noqa: E402
from wsra.runtime.video.frames import Frame  # noqa: E402

pytestmark = pytest.mark.device
RED, BLUE, YELLOW = (30, 30, 200), (200, 60, 20), (20, 200, 230)


def scene(rng: np.random.Generator, light: float = 1.0) -> np.ndarray:
    ground = np.full((120, 160, 3), 120.0)
    ground[:, ::16] += 15
    return np.clip(light * ground + rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)


def person(image: np.ndarray, x: int, colour: tuple[int, int, int], height: int = 40) -> None:
    image[100 - height : 100 - height // 2, x : x + 12] = colour
    image[100 - height // 2 : 100, x + 2 : x + 10] = (70, 40, 30)


def film(seconds: int, paint: object, *, light: object = None) -> Iterator[Frame]:
    rng = np.random.default_rng(0)
    for number in range(seconds * 4):
        time_s = number / 4
        image = scene(rng, 1.0 if light is None else light(time_s))  # type: ignore[operator]
        paint(image, time_s)  # type: ignore[operator]
        yield Frame(time_s, image)


def column(found: Objects, name: str, track: int | None = None) -> np.ndarray:
    """Of all rows, or of those of a track, in float32."""
    rows = found.values if track is None else found.values[found.tracks.of_row == track]
    return rows[:, NAMES.index(name)].astype(np.float32)


def objects(frames: Iterator[Frame]) -> Objects:
    return object_rows(frames, 1.0)


def test_every_number_has_a_name_and_there_are_as_many_as_the_format_says() -> None:
    assert len(set(NAMES)) == WIDTH == 186


def test_nothing_moves_nothing_is_seen_even_when_the_light_changes() -> None:
    found = objects(film(30, lambda image, t: None, light=lambda t: 1 + 0.15 * np.sin(t / 3)))
    assert found.values.shape == (0, WIDTH) and len(found.tracks) == 0


def test_a_walker_has_place_direction_and_colour() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if 5 <= t < 15:
            person(image, int((t - 5) * 14), YELLOW)

    found = objects(film(25, paint))
    np.testing.assert_array_equal(found.times_s[:, 0], np.arange(5, 15))
    assert len(found.tracks) == 1
    assert (np.diff(column(found, "x")[1:9]) > 0.05).all() and column(found, "presence").min() == 1
    assert (column(found, "rightward")[1:9] > 0.05).all() and column(found, "leftward")[1:9].max() < 0.02
    assert column(found, "upper yellow").min() > 0.6 and column(found, "upper red").max() < 0.1


def test_the_numbers_of_this_version_are_pinned() -> None:
    """When this fails on purpose, count up `BACKBONE` in runtime/backbones/registry.py: old features and new ones must never mix."""

    def paint(image: np.ndarray, t: float) -> None:
        if 5 <= t < 15:
            person(image, int((t - 5) * 14), YELLOW)

    found = objects(film(25, paint))
    pinned = {
        "presence": 1.0,
        "x": 0.5063,
        "foot": 0.8418,
        "height": 0.3501,
        "root area": 0.1617,
        "fill": 0.8535,
        "rightward": 0.0875,
        "stride": 0.3333,
        "silhouette 0.0": 0.9185,
        "upper yellow": 0.9419,
        "upper lightness": 2.416,
        "all blue to yellow": 4.5508,
    }
    assert BACKBONE == "motion-3" and WIDTH == 186
    assert {name: float(column(found, name)[5]) for name in pinned} == pytest.approx(pinned, abs=5e-3)


def test_two_people_in_one_snippet_are_kept_apart() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if 8 <= t < 12:
            person(image, 30 + int(8 * (t - 8)), RED, 48)
            person(image, 110 + int(8 * (t - 8)), BLUE, 36)

    found = objects(film(20, paint))
    assert len(found.tracks) == 2 and found.times_s[:, 0].tolist() == [8, 8, 9, 9, 10, 10, 11, 11]
    red, blue = np.argsort(found.tracks.boxes[:2, 0])
    assert column(found, "upper red", red).min() > 0.6 and column(found, "upper blue", red).max() < 0.1
    blues = column(found, "upper azure", blue) + column(found, "upper blue", blue)
    assert blues.min() > 0.6 and column(found, "upper red", blue).max() < 0.1  # neither colour is averaged away


def test_who_stands_still_for_a_minute_stays_seen() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if t >= 25:
            person(image, min(80, int((t - 25) * 30)), YELLOW)

    found = objects(film(90, paint))
    assert found.times_s[:, 0].tolist() == list(range(25, 90)) and len(found.tracks) == 1
    assert column(found, "presence")[3:].min() == 1.0 and column(found, "still")[7:].min() == 1.0
    assert column(found, "upper yellow")[3:].min() > 0.6
    np.testing.assert_allclose(found.tracks.lives_s, [[25, 90]], atol=0.26)


def test_who_was_taken_for_background_leaves_no_ghost() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(21):
        image = scene(rng)
        person(image, 60, RED)
        frames.append(image)
    background = Background(frames)
    areas = [background.subtract(scene(rng), elapsed_s=0.25)[1].mean() for _ in range(12)]
    assert areas[0] > 0.01 and max(areas[5:]) < 0.001


def test_a_cut_begins_with_a_new_background() -> None:
    """Two cameras joined in one file: each has its own empty scene, and the walker of the second is found at once."""

    def paint(image: np.ndarray, t: float) -> None:
        if t >= 30:
            image[:] = np.clip(image[:, ::-1].astype(int) + np.arange(160)[None, :, None] - 60, 0, 255).astype(np.uint8)
        if 32 <= t < 40:
            person(image, int((t - 32) * 16), YELLOW)

    found = objects(film(60, paint))
    assert len(found.tracks) == 1 and found.times_s[:, 0].tolist() == list(range(32, 40))
    assert column(found, "upper yellow").min() > 0.5


def test_what_fills_the_whole_frame_is_no_trouble() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if t >= 10:
            image[:, : min(160, int((t - 10) * 40))] = RED

    assert np.isfinite(objects(film(30, paint)).values).all()


def test_a_blob_tells_parts_and_shape() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    mask = np.zeros((120, 160), bool)
    person(image, 60, RED)
    mask[60:100, 60:72] = True
    (blob,) = find_blobs(image, mask)
    assert blob.aspect == pytest.approx(12 / 40) and blob.height == pytest.approx(40 / 120) and blob.foot == pytest.approx(100 / 120)
    assert blob.silhouette == pytest.approx(np.ones(24)) and blob.cut == 0
    assert blob.colours[MATCHED.index("upper"), COLOURS.index("red")] > 0.6
    np.testing.assert_allclose(blob.colours.sum(axis=1), 1, atol=1e-5)


def test_a_real_file_gives_the_same_features_twice_and_keeps_its_times(clip_file: Path) -> None:
    first, second = extract_features(clip_file), extract_features(clip_file)
    assert first.tracks is not None and second.tracks is not None
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.tracks.lives_s, second.tracks.lives_s)
    assert first.width == WIDTH and first.values.dtype == np.float16 and len(first) > len(first.tracks) > 1
    assert first.times_s.max() <= first.duration_s and first.tracks.lives_s.max() <= first.duration_s
    assert "source_sha256" in first.extra
    half = extract_features(clip_file, snippet_s=0.5)
    assert half.tracks is not None and 1.6 * len(first) < len(half) <= 2 * len(first)
    np.testing.assert_allclose(half.tracks.lives_s, first.tracks.lives_s, atol=1e-6)


def test_a_batch_resumes_and_survives_a_broken_file(clip_file: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.mp4"
    good.write_bytes(clip_file.read_bytes())
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    results = list(extract_batch([bad, good], tmp_path / "out"))
    assert results[0].error and not (tmp_path / "out" / "bad.feat").exists()
    assert results[1].error is None and not results[1].kept
    written = (tmp_path / "out" / "good.feat").stat().st_mtime_ns
    again = next(iter(extract_batch([good], tmp_path / "out")))
    assert again.kept and (tmp_path / "out" / "good.feat").stat().st_mtime_ns == written
    (tmp_path / "out" / "good.feat").write_bytes((tmp_path / "out" / "good.feat").read_bytes()[:-100])
    assert not is_current(again.feat, good, backbone=backbone_id(1.0))
    mended = next(iter(extract_batch([good], tmp_path / "out")))
    assert not mended.kept and len(read_features(mended.feat)) > 0


def test_events_of_real_footage_are_lives(data_folder: Path) -> None:
    """What a perfect choice among the lives would reach; the events were marked by hand and took no part in the tracker's settings."""
    videos = {path.stem: extract_features(path).tracks for path in (data_folder / "footage").glob("*.mp4")}
    best = []
    for event in read_annotations(data_folder / "footage" / "annotations.jsonl"):
        tracks = videos[event.vid]
        assert tracks is not None
        if event.windows_s:
            best.append(iou(tracks.lives_s, np.array(event.windows_s[0])).max())
    assert len(best) == 10 and np.mean(np.array(best) >= 0.5) >= 0.9 and np.mean(best) > 0.7
