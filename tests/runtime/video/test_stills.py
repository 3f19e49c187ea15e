"""Single pictures at given times are those that decoding from the start gives, in every container."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

av = pytest.importorskip("av")
from films import STEADY_MS, Film, level, number_in, numbered, turn  # noqa: E402

from wsra.runtime.errors import VideoError  # noqa: E402
from wsra.runtime.video.frames import Video  # noqa: E402
from wsra.runtime.video.stills import stills  # noqa: E402

pytestmark = pytest.mark.device

SHOWN_MS = tuple(range(0, 40_000, 200))  # 200 frames: grey levels repeat every 50


def grey_of(number: int, size: tuple[int, int] = (160, 96)) -> object:
    import numpy as np

    return np.full((size[1], size[0], 3), 40 + 4 * (number % 50), np.uint8)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
@pytest.mark.parametrize(("group", "bframes"), [(10, 0), (60, 3), (250, 2)])
def test_a_still_is_the_frame_of_its_time(tmp_path: Path, ending: str, group: int, bframes: int) -> None:
    codec = "mpeg4" if ending == "avi" else "libx264"
    shown_ms = tuple(range(0, 8000, 40)) if ending == "avi" else SHOWN_MS
    film = Film(codec, shown_ms, bframes=0 if ending == "avi" else bframes, group=group, picture=grey_of)
    path = film.write(tmp_path / f"film.{ending}")
    with Video(path, height_px=96, frames_per_s=1000) as video:
        everything = list(video.frames())
    wanted = [frame.time_s for frame in everything[:: len(everything) // 9]]
    wanted = [wanted[place] for place in (3, 0, 7, 7, 1, 5, 8)]  # in no order, one of them twice, some far apart and some near
    found = stills(path, wanted, height_px=96)
    assert [frame.time_s for frame in found] == pytest.approx(wanted)
    truth = {frame.time_s: level(frame.image) for frame in everything}
    assert [level(frame.image) for frame in found] == pytest.approx([truth[time_s] for time_s in wanted], abs=2)


def test_a_time_between_frames_gets_the_nearest_and_one_after_the_end_the_last(tmp_path: Path) -> None:
    path = Film(shown_ms=SHOWN_MS, picture=grey_of).write(tmp_path / "film.mp4")
    found = stills(path, [12.07, 12.15, 60.0], height_px=96)
    assert [frame.time_s for frame in found] == pytest.approx([12.0, 12.2, 39.8])
    with pytest.raises(VideoError, match="film.mp4"):
        stills(tmp_path / "none" / "film.mp4", [1.0], height_px=96)


def test_a_video_that_begins_late_counts_from_its_first_frame_and_stands_upright(tmp_path: Path) -> None:
    path = turn(Film(shown_ms=[stamp + 90_000 for stamp in SHOWN_MS], group=30, picture=grey_of).write(tmp_path / "late.mp4"), 0, 1, -1, 0)
    (still,) = stills(path, [20.0], height_px=200)
    assert still.time_s == pytest.approx(20.0) and still.image.shape[0] > still.image.shape[1]
    assert level(still.image) == pytest.approx(40 + 4 * (100 % 50), abs=3)


def test_frames_from_a_time_on_are_those_of_the_whole(tmp_path: Path) -> None:
    path = Film(shown_ms=SHOWN_MS, group=40, bframes=3, picture=grey_of).write(tmp_path / "film.mkv")
    with Video(path, height_px=96, frames_per_s=1000) as video:
        everything = [frame.time_s for frame in video.frames()]
        late = [frame.time_s for frame in video.frames(from_s=17.0)]
        assert late == pytest.approx([time_s for time_s in everything if time_s >= 17.0 - 1e-6])
        assert next(video.frames(from_s=3.0)).time_s == pytest.approx(3.0)  # and again, from where it was read to


@pytest.mark.parametrize("cut_off", [False, True], ids=["whole", "cut off"])
@pytest.mark.parametrize(
    "film",
    [
        Film("mpeg4"),
        Film("mpeg4", bframes=2),
        Film("mpeg4", shown_ms=[*range(0, 8000, 40), *range(16_000, 24_000, 40)]),
        Film("mpeg2video", bframes=2),
        Film("libx264", bframes=3),
        Film("libx264", bframes=3, options={"x264-params": "open-gop=1"}),
    ],
    ids=["MPEG-4", "MPEG-4 with B-frames", "with a gap", "MPEG-2 with B-frames", "H.264 with B-frames", "H.264 with open groups"],
)
def test_an_avi_is_sought_by_its_index_and_gives_the_same_frames(tmp_path: Path, film: Film, cut_off: bool) -> None:
    shown_ms = range(0, 24_000, 40) if film.shown_ms is STEADY_MS else film.shown_ms
    path = replace(film, shown_ms=shown_ms, group=37, picture=numbered).write(tmp_path / "film.avi")
    if cut_off:
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(b"idx1") - 5000])
    with Video(path, height_px=96, frames_per_s=1000) as video:
        whole = [(frame.time_s, number_in(frame.image)) for frame in video.frames()]
        count = video.decoded
    for from_s in (0.5, 3.3, 5.92, 7.77, 12.0, 20.01):
        with Video(path, height_px=96, frames_per_s=1000) as video:
            found = [(frame.time_s, number_in(frame.image)) for frame in video.frames(from_s=from_s)]
            assert found == [one for one in whole if one[0] + 1e-6 >= from_s]
            assert cut_off or from_s < 7 or video.decoded < count - 50  # what lies before is not decoded
