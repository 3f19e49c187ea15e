from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from wsra.runtime.archive.provenance import is_current  # noqa: E402
from wsra.runtime.backbones.background import Background  # noqa: E402
from wsra.runtime.backbones.blobs import COLOURS, find_blobs  # noqa: E402
from wsra.runtime.backbones.motion import FEATURE_NAMES, WIDTH, motion_features  # noqa: E402
from wsra.runtime.backbones.registry import BACKBONE, backbone_id  # noqa: E402
from wsra.runtime.extract import extract_batch, extract_features  # noqa: E402
from wsra.runtime.features import read_features  # noqa: E402
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


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, FEATURE_NAMES.index(name)]


def features(frames: Iterator[Frame]) -> np.ndarray:
    return np.stack([row for _, row in motion_features(frames, 1.0)])


def test_every_number_has_a_name_and_there_are_a_few_hundred() -> None:
    assert len(set(FEATURE_NAMES)) == WIDTH and 200 <= WIDTH <= 999


def test_nothing_moves_nothing_is_seen_even_when_the_light_changes() -> None:
    rows = features(film(30, lambda image, t: None, light=lambda t: 1 + 0.15 * np.sin(t / 3)))
    assert rows.shape == (30, WIDTH)
    assert np.abs(rows[:, : WIDTH - 5]).max() == 0
    assert column(rows, "scene: foreground").max() < 0.002


def test_a_walker_has_place_direction_and_colour() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if 5 <= t < 15:
            person(image, int((t - 5) * 14), YELLOW)

    rows = features(film(25, paint))
    seen = column(rows, "object 1: presence") > 0.5
    assert seen[6:14].all() and not seen[:5].any() and not seen[16:].any()
    assert (np.diff(column(rows, "object 1: x")[6:14]) > 0.05).all()
    assert (column(rows, "object 1: rightward")[6:14] > 0.05).all() and column(rows, "object 1: leftward")[6:14].max() < 0.02
    assert column(rows, "object 1: upper yellow")[6:14].min() > 0.6
    assert column(rows, "object 1: upper red")[6:14].max() < 0.1


def test_the_numbers_of_this_version_are_pinned() -> None:
    """When this fails on purpose, count up `BACKBONE` in runtime/backbones/registry.py: old features and new ones must never mix."""

    def paint(image: np.ndarray, t: float) -> None:
        if 5 <= t < 15:
            person(image, int((t - 5) * 14), YELLOW)

    row = features(film(25, paint))[10:11]
    pinned = {
        "object 1: x": 0.5063,
        "object 1: foot": 0.8417,
        "object 1: height": 0.35,
        "object 1: rightward": 0.0875,
        "object 1: stride": 0.3333,
        "object 1: upper yellow": 0.9236,
        "scene: foreground": 0.0261,
        "scene: brightness": 0.4821,
    }
    assert BACKBONE == "motion-2" and WIDTH == 251
    assert {name: float(column(row, name)[0]) for name in pinned} == pytest.approx(pinned, abs=2e-3)


def test_two_people_in_one_snippet_are_kept_apart() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if 8 <= t < 12:
            person(image, 30 + int(4 * (t - 8)), RED, 48)
            person(image, 110, BLUE, 36)

    rows = features(film(20, paint))[9:11]
    assert (column(rows, "scene: objects") * 4).tolist() == [2, 2]
    assert column(rows, "object 1: upper red").min() > 0.6 and column(rows, "object 1: upper blue").max() < 0.1
    blues = column(rows, "object 2: upper azure") + column(rows, "object 2: upper blue")
    assert blues.min() > 0.6 and column(rows, "object 2: upper red").max() < 0.1
    assert column(rows, "any object: upper red").min() > 0.6  # neither colour is averaged away


def test_who_stands_still_for_a_minute_stays_seen() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if t >= 25:
            person(image, min(80, int((t - 25) * 30)), YELLOW)

    rows = features(film(90, paint))
    assert column(rows, "object 1: presence")[28:].min() == 1.0
    assert column(rows, "object 1: still")[32:].min() == 1.0
    assert column(rows, "object 1: upper yellow")[28:].min() > 0.6


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

    rows = features(film(60, paint))
    seen = column(rows, "object 1: presence") > 0.5
    assert seen[33:39].all() and not seen[:32].any() and not seen[41:].any()
    assert column(rows, "object 1: upper yellow")[33:39].min() > 0.5


def test_what_fills_the_whole_frame_is_no_trouble() -> None:
    def paint(image: np.ndarray, t: float) -> None:
        if t >= 10:
            image[:, : min(160, int((t - 10) * 40))] = RED

    assert np.isfinite(features(film(30, paint))).all()


def test_a_blob_tells_parts_and_shape() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    mask = np.zeros((120, 160), bool)
    person(image, 60, RED)
    mask[60:100, 60:72] = True
    (blob,) = find_blobs(image, mask)
    assert blob.aspect == pytest.approx(12 / 40) and blob.height == pytest.approx(40 / 120) and blob.foot == pytest.approx(100 / 120)
    assert blob.silhouette == pytest.approx(np.ones(24)) and blob.cut == 0
    assert blob.colours[1, COLOURS.index("red")] > 0.6
    np.testing.assert_allclose(blob.colours.sum(axis=1), 1, atol=1e-5)


def test_a_real_file_gives_the_same_features_twice_and_keeps_its_times(clip_file: Path) -> None:
    first, second = extract_features(clip_file), extract_features(clip_file)
    np.testing.assert_array_equal(first.values, second.values)
    assert len(first) == round(first.duration_s) and first.width == WIDTH
    assert first.times_s[-1, 1] == pytest.approx(first.duration_s)
    assert "source_sha256" in first.extra
    half = extract_features(clip_file, snippet_s=0.5)
    assert len(half) == 2 * len(first)


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


@pytest.mark.parametrize(("name", "snippets"), [("car-detection", 31), ("one-by-one-person-detection", 140)])
def test_real_footage_has_the_right_number_of_snippets(data_folder: Path, name: str, snippets: int) -> None:
    assert len(extract_features(data_folder / "footage" / f"{name}.mp4")) == snippets
