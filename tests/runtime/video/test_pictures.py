"""Pictures as they must be shown: upright, square, without the comb of interlaced fields; files that change or are not complete."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from films import SIZE_PX, STEADY_MS, Film, turn

from wsra.runtime.errors import VideoError
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.extraction.provenance import is_current
from wsra.runtime.formats.features import write_features
from wsra.runtime.video.frames import Frame, Video

pytestmark = pytest.mark.device


def read(path: Path, *, height_px: int = 96) -> tuple[list[Frame], Video]:
    with Video(path, height_px=height_px, frames_per_s=1000) as video:
        return list(video.frames()), video


@pytest.mark.parametrize(
    ("matrix", "shape", "corner"),
    [
        ((1, 0, 0, 1), (96, 160), (0, 0)),
        ((0, 1, -1, 0), (96, 58), (0, -1)),  # a quarter to the right: the upper left corner goes to the upper right
        ((-1, 0, 0, -1), (96, 160), (-1, -1)),
        ((0, -1, 1, 0), (96, 58), (-1, 0)),
        ((-1, 0, 0, 1), (96, 160), (0, -1)),  # a mirror
        ((1, 0, 0, -1), (96, 160), (-1, 0)),
        ((0, 1, 1, 0), (96, 58), (0, 0)),
    ],
)
def test_a_display_matrix_turns_the_picture_upright(
    matrix: tuple[int, int, int, int], shape: tuple[int, int], corner: tuple[int, int], tmp_path: Path
) -> None:
    """The white mark of the upper left corner, written unturned, is found where a player shows it."""
    path = tmp_path / "turned.mp4"
    Film(shown_ms=STEADY_MS[:3]).write(path)
    frames, _ = read(turn(path, *matrix))
    image = frames[0].image
    assert image.shape == (*shape, 3) and image.flags.c_contiguous
    corners = {(row, column): float(image[row, column].mean()) for row in (0, -1) for column in (0, -1)}
    assert max(corners, key=corners.__getitem__) == corner
    assert sorted(corners.values())[-2] < 100 < 200 < corners[corner]


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = tmp_path / "half-lines.mkv"
    Film(shown_ms=STEADY_MS[:3], size=(160, 48), aspect=Fraction(1, 2), picture=lambda k: np.full((48, 160, 3), 90, np.uint8)).write(path)
    frames, _ = read(path, height_px=24)
    assert frames[0].image.shape == (24, 40, 3)


def woven(number: int) -> np.ndarray:
    """A bar that moves 6 pixels from field to field: even lines show it 20 ms before odd lines."""
    image = np.full((SIZE_PX[1], SIZE_PX[0], 3), 60, np.uint8)
    for field in (0, 1):
        left = 12 * (number % 8) + 6 * field
        image[field::2, left : left + 24] = 220
    return image


def comb(image: np.ndarray) -> float:
    """How much more neighbouring lines differ than every second line does."""
    lines = image.astype(float).mean(axis=2)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(("codec", "name"), [("libx264", "fields.mp4"), ("mpeg2video", "fields.ts")])
def test_interlaced_frames_lose_their_comb_and_keep_their_times(codec: str, name: str, flagged: bool, tmp_path: Path) -> None:
    flags = {"x264-params": "tff=1"} if codec == "libx264" else {"flags": "+ildct+ilme", "field_order": "tt"}
    Film(codec, picture=woven, options=flags if flagged else {}).write(tmp_path / name)
    frames, video = read(tmp_path / name)
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(STEADY_MS) / 1000, atol=2e-3)
    combs = np.median([comb(frame.image) for frame in frames])
    if flagged:
        assert video.interlaced == len(STEADY_MS) and combs < 4
    else:
        assert video.interlaced == 0 and combs > 8


def test_a_stream_that_changes_its_size_keeps_the_shape_of_its_first_frame(tmp_path: Path) -> None:
    small = Film(picture=lambda k: np.full((48, 80, 3), 40 + 4 * k, np.uint8), size=(80, 48))
    parts = [film.write(tmp_path / f"{number}.ts").read_bytes() for number, film in enumerate((Film(), small))]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    frames, _ = read(tmp_path / "both.ts")
    assert {frame.image.shape for frame in frames} == {(96, 160, 3)} and len(frames) > 90


def test_an_mp4_without_its_index_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "recording.mp4"
    content = Film().write(tmp_path / "whole.mp4").read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    with pytest.raises(VideoError, match=r"without its index \(no moov box\): still being written, or cut off; wait"):
        Video(path, height_px=96, frames_per_s=1)


def test_a_file_that_grows_is_extracted_as_far_as_it_is_there_and_again_later(tmp_path: Path) -> None:
    whole = Film(group=10).write(tmp_path / "whole.ts").read_bytes()
    path = tmp_path / "growing.ts"
    path.write_bytes(whole[: len(whole) // 2])

    def grow(done_s: float, total_s: float | None) -> None:
        path.write_bytes(whole)

    half = extract_features(path, progress=grow)
    assert "written to while it was read" in half.extra["damage"]
    write_features(tmp_path / "growing.feat", half)
    assert not is_current(tmp_path / "growing.feat", path, backbone=half.backbone)
    again = extract_features(path)
    assert again.duration_s > half.duration_s and "damage" not in again.extra
