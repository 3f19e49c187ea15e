from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from wsra.runtime.errors import VideoError
from wsra.runtime.video.frames import Video

pytestmark = pytest.mark.device
av = pytest.importorskip("av")


def write(path: Path, times_ms: list[int], *, size: tuple[int, int] = (160, 120), bframes: int = 0) -> Path:
    """A video whose frame k has the grey level 2k and is shown at times_ms[k]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"bf": str(bframes), "crf": "10"}
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), min(2 * number, 255), np.uint8), format="bgr24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path, *, height_px: int = 120, frames_per_s: float = 100.0) -> tuple[list[float], list[int], Video]:
    with Video(path, height_px=height_px, frames_per_s=frames_per_s) as video:
        frames = list(video.frames())
    return [frame.time_s for frame in frames], [int(frame.image.mean()) for frame in frames], video


@pytest.mark.parametrize("bframes", [0, 3])
def test_times_are_presentation_stamps_not_frame_numbers(tmp_path: Path, bframes: int) -> None:
    shown = [0, 40, 80, 500, 520, 2000, 2040]  # a variable rate with gaps
    times, levels, video = read(write(tmp_path / "a.mp4", shown, bframes=bframes))
    np.testing.assert_allclose(times, np.array(shown) / 1000, atol=1e-3)
    assert levels == sorted(levels)  # presentation order, also with B-frames
    assert 2.05 < video.end_s < 2.09 and video.broken == 0  # the last frame lasts as long as the file says


def test_a_start_offset_begins_at_zero(tmp_path: Path) -> None:
    times, _, _ = read(write(tmp_path / "a.mkv", [5000, 5040, 5080]))
    np.testing.assert_allclose(times, [0.0, 0.04, 0.08], atol=1e-3)


def test_frames_are_thinned_on_a_grid_of_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", list(range(0, 3000, 40)))
    times, _, _ = read(path, frames_per_s=4.0)
    np.testing.assert_allclose(times, [0, 0.28, 0.52, 0.76, 1.0, 1.28, 1.52, 1.76, 2.0, 2.28, 2.52, 2.76], atol=1e-3)


def test_larger_frames_are_scaled_and_smaller_ones_are_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [0, 40], size=(320, 240))
    for height_px, expected in ((120, (120, 160, 3)), (480, (240, 320, 3))):
        with Video(path, height_px=height_px, frames_per_s=25) as video:
            assert next(iter(video.frames())).image.shape == expected


def test_what_is_no_video(tmp_path: Path, sound_file: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / sound_file.name).write_bytes(sound_file.read_bytes())
    for name, message in (
        ("empty.mp4", "0 bytes"),
        ("text.mp4", "not a video that FFmpeg can open"),
        (sound_file.name, r"no video stream \(found: audio\)"),
        ("none.mp4", "no such file"),
    ):
        with pytest.raises(VideoError, match=message):
            Video(tmp_path / name, height_px=120, frames_per_s=4)


def test_a_cut_file_gives_what_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", list(range(0, 8000, 40)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    times, _, _ = read(path)
    assert 20 < len(times) < 200 and (np.diff(times) > 0).all()


def test_stamps_that_begin_anew_go_on(tmp_path: Path) -> None:
    """Two recordings joined byte by byte, as transport streams may be."""
    parts = [write(tmp_path / f"{name}.ts", list(range(0, 2000, 40))) for name in "ab"]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())
    times, _, video = read(joined)
    assert len(times) >= 95 and (np.diff(times) > 0).all()
    assert video.end_s == pytest.approx(4.0, abs=0.25)
    assert "its stamps jump back 1 times" in str(video.damage())


def test_a_long_gap_does_not_lengthen_the_video(tmp_path: Path) -> None:
    _, _, video = read(write(tmp_path / "a.mkv", [0, 40, 80, 60_000]))
    assert 60.0 < video.end_s <= 61.0


def test_a_file_that_ends_early_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", list(range(0, 8000, 40)))
    _, _, whole = read(path)
    assert whole.damage() is None


@pytest.mark.parametrize("name", ["2026-11-23T14:05:00.mp4", ":a:.mp4", "-dash.mp4", "cam%03d.mp4", "ünï 日本'\".mp4"])
def test_any_name_is_a_file_and_no_protocol(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mp4", [0, 40]).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(Path(name))[0]) == 2


def test_names_that_no_feature_file_can_carry_and_folders_are_refused(tmp_path: Path) -> None:
    odd = write(tmp_path / "a.mp4", [0, 40]).rename(tmp_path / "bad\udcff.mp4")
    with pytest.raises(VideoError, match="not UTF-8"):
        Video(odd, height_px=120, frames_per_s=4)
    with pytest.raises(VideoError, match="a folder; expected a video"):
        Video(tmp_path, height_px=120, frames_per_s=4)


def test_of_two_video_streams_the_larger_one_is_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, (width, height) in zip(streams, ((64, 48), (320, 240)), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for stream, shade in zip(streams, (40, 200), strict=True):
            image = np.full((stream.height, stream.width, 3), shade, np.uint8)
            for _ in range(25):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode(None))
    with Video(tmp_path / "two.mkv", height_px=240, frames_per_s=4) as video:
        shown = [frame.image for frame in video.frames()]
    assert shown[0].shape == (240, 320, 3) and abs(float(shown[0].mean()) - 200) < 4
