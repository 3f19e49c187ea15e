"""Hourly files of one camera: the rows of a whole recording and of its parts agree, and tracks go on over their boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
av = pytest.importorskip("av")

from wsra.runtime.extraction.batch import extract_features  # noqa: E402
from wsra.runtime.extraction.continued import extract_recording  # noqa: E402
from wsra.runtime.formats.features import Features, read_features  # noqa: E402
from wsra.runtime.formats.tracks import Tracks  # noqa: E402

pytestmark = pytest.mark.device

FPS, PART_S, PARTS = 10, 40, 3
PHASE = 0.15  # in colours of small parts: the background of a camera that was moved is updated a frame earlier than a file's alone
NOISE = np.random.default_rng(0).normal(0, 2, (8, 120, 160, 3))


def picture(number: int, *, moved: bool = False) -> np.ndarray:
    """Somebody comes, stands in the middle throughout the second part and goes; a walker passes from each part into the next."""
    ground = np.full((120, 160, 3), 120.0)
    ground[:, ::16] += 15
    if moved:
        ground += np.linspace(-70, 70, 160)[None, :, None]
    image = np.clip(ground + NOISE[number % 8], 0, 255).astype(np.uint8)
    time_s = number / FPS
    if 26 <= time_s < 99:
        stand = 90 + round(18 * max(30 - time_s, time_s - 95, 0))
        image[55:100, stand : stand + 14] = (20, 200, 230)
    left = int(((time_s + 5) % PART_S - 2) * 14)
    if 0 <= left < 140:
        image[60:100, left : left + 12] = (30, 30, 200)
    return image


def encode(path: Path, images: Iterator[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)  # every frame of a part decodes as it does in the whole
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuvj420p"
        stream.options = {"qmin": "2", "qmax": "2"}  # constant: no bits are saved for later
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    count = PART_S * FPS
    return [encode(folder / f"door_20261123_14{k:02d}00.mkv", (picture(k * count + n) for n in range(count))) for k in range(PARTS)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Features:
    path = encode(tmp_path_factory.mktemp("whole") / "whole.mkv", (picture(n) for n in range(PARTS * PART_S * FPS)))
    return extract_features(path)


def read(folder: Path, parts: list[Path]) -> list[tuple[Features, Tracks]]:
    read = [read_features(folder / f"{part.stem}.feat") for part in parts]
    assert all(features.tracks is not None for features in read)
    return [(features, features.tracks) for features in read if features.tracks is not None]


def test_the_whole_and_its_parts_agree(parts: list[Path], whole: Features, tmp_path: Path) -> None:
    assert [done.error for done in extract_recording(parts, tmp_path)] == [None] * PARTS
    continued = read(tmp_path, parts)
    np.testing.assert_array_equal(np.concatenate([features.values for features, _ in continued]), whole.values)
    times_s = np.concatenate([features.times_s + PART_S * number for number, (features, _) in enumerate(continued)])
    np.testing.assert_allclose(times_s, whole.times_s, atol=1e-9)
    # Alone, the second part takes who stands there for background, and finds the walker only.
    alone = extract_features(parts[1])
    assert alone.tracks is not None
    standing = [int(np.isclose(tracks.boxes[:, 0], 90 / 160, atol=0.03).sum()) for tracks in (alone.tracks, continued[1][1])]
    assert standing[0] <= 3 and standing[1] > 30  # the walker passes there


def test_lives_go_on_over_the_boundaries(parts: list[Path], whole: Features, tmp_path: Path) -> None:
    """Whose rows a row of a part is with, across all parts, is what the whole says."""
    list(extract_recording(parts, tmp_path))
    numbers: list[np.ndarray] = []
    lives: dict[int, tuple[float, float]] = {}
    count, before = 0, np.zeros(0, int)
    for place, (_, tracks) in enumerate(read(tmp_path, parts)):
        assert (tracks.continues >= 0).sum() >= (2 if place == 1 else 0)  # who stands there, and the walker
        mine = np.array([before[old] if old >= 0 else count + new for new, old in enumerate(tracks.continues)], int)
        for number, (start_s, end_s) in zip(mine.tolist(), (tracks.lives_s + PART_S * place).tolist(), strict=True):
            lives[number] = lives.get(number, (start_s, end_s))[0], end_s
        count, before = count + len(tracks), mine
        numbers.append(mine[tracks.of_row])
    assert whole.tracks is not None
    joined = np.concatenate(numbers)
    pairs = set(zip(joined.tolist(), whole.tracks.of_row.tolist(), strict=True))
    assert len(pairs) == len(set(joined.tolist())) == len(whole.tracks)
    for number, track in pairs:
        np.testing.assert_allclose(lives[number], whole.tracks.lives_s[track], atol=1e-6)


def test_a_part_is_kept_while_the_one_before_is_the_same(parts: list[Path], tmp_path: Path) -> None:
    list(extract_recording(parts, tmp_path))
    undisturbed = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert all(done.kept for done in extract_recording(parts, tmp_path))
    (tmp_path / f"{parts[1].stem}.feat").unlink()  # as if it had been interrupted there
    (tmp_path / f"{parts[2].stem}.feat").unlink()
    assert [done.kept for done in extract_recording(parts, tmp_path)] == [True, False, False]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == undisturbed
    assert [done.kept for done in extract_recording(parts[1:], tmp_path)] == [False, False]  # now nothing comes before


def test_a_camera_that_was_moved_begins_anew(parts: list[Path], tmp_path: Path) -> None:
    moved = encode(tmp_path / "moved.mkv", (picture(n, moved=True) for n in range(PART_S * FPS)))
    list(extract_recording([parts[0], moved], tmp_path / "out"))
    continued, alone = read_features(tmp_path / "out" / "moved.feat"), extract_features(moved)
    assert continued.tracks is not None and alone.tracks is not None and (continued.tracks.continues == -1).all()
    np.testing.assert_allclose(continued.times_s, alone.times_s, atol=1e-6)
    np.testing.assert_allclose(continued.tracks.boxes, alone.tracks.boxes, atol=0.02)
    np.testing.assert_allclose(continued.values, alone.values, atol=PHASE)


@pytest.mark.parametrize(
    ("name", "message"), [("door_20261123_160000", "a gap of 7160 s"), ("door_20261123_130000", "give the files in chronological order")]
)
def test_a_long_gap_or_a_wrong_order_begins_anew_and_is_told(name: str, message: str, parts: list[Path], tmp_path: Path) -> None:
    later = tmp_path / f"{name}.mkv"
    later.write_bytes(parts[1].read_bytes())
    *_, done = extract_recording([parts[0], later], tmp_path)
    assert done.warning is not None and message in done.warning
    np.testing.assert_array_equal(read_features(done.feat).values, extract_features(parts[1]).values)


def test_a_broken_part_does_not_stop_the_rest(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.mkv").write_bytes(b"nothing")
    results = list(extract_recording([parts[0], tmp_path / "broken.mkv", parts[1]], tmp_path))
    assert [done.error is None for done in results] == [True, False, True]
    assert read_features(results[2].feat).extra["continues"] == ""
