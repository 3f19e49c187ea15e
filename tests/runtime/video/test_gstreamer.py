"""GStreamer decodes the same frames at the same times as PyAV, and what it would show otherwise PyAV decodes, with a message."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from films import STEADY_MS, Film, grey, level, turn
from system_gi import gstreamer_folder

from wsra.runtime.errors import VideoError
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.features import read_features
from wsra.runtime.video import pipeline
from wsra.runtime.video.frames import Frame, Reading, Video
from wsra.runtime.video.gstreamer import GstreamerVideo
from wsra.runtime.video.opening import open_video
from wsra.runtime.video.pipeline import Elements, UnfitError, choose_elements

pytestmark = [pytest.mark.device, pytest.mark.filterwarnings("ignore:DynamicImporter")]  # a warning of PyGObject 3.42
EVERY = Reading(height_px=96, frames_per_s=100)
ROUNDED = 2.0  # grey levels by which a mean may differ


@pytest.fixture(scope="module")
def gi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gstreamer_folder(tmp_path_factory.mktemp("gi"))


@pytest.fixture
def _gstreamer(gi_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(gi_folder)


needs_gstreamer = pytest.mark.usefixtures("_gstreamer")


def read(path: Path, decoder: str, reading: Reading = EVERY) -> tuple[list[Frame], Video]:
    with open_video(path, reading, decoder=decoder) as video:
        return list(video.frames()), video


def assert_same(path: Path, reading: Reading = EVERY, *, mean: float = ROUNDED) -> list[Frame]:
    """The frames by GStreamer; those by PyAV are at the same times, of the same size, and look the same."""
    expected, by_pyav = read(path, "cpu", reading)
    frames, video = read(path, "gstreamer", reading)
    assert video.fallback is None
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in expected]
    for of in ("decoded", "broken", "end_s", "declared_s"):
        assert getattr(video, of) == getattr(by_pyav, of), of
    for one, other in zip(frames, expected, strict=True):
        assert one.image.shape == other.image.shape
        assert np.abs(one.image.astype(int) - other.image).mean() <= mean
        assert (one.detail is None) == (other.detail is None)
    return frames


@needs_gstreamer
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_the_frames_and_times_of_pyav(name: str, codec: str, tmp_path: Path) -> None:
    frames = assert_same(Film(codec, bframes=3, group=12).write(tmp_path / name))
    assert len(frames) == len(STEADY_MS)
    assert [level(frame.image) for frame in frames] == pytest.approx([40 + 4 * k for k in range(50)], abs=4)


@needs_gstreamer
def test_a_variable_rate_gaps_and_a_late_start(tmp_path: Path) -> None:
    shown_ms = [80, 120, 240, 280, 1000, 1040, 3000, 3040, 3120]
    frames = assert_same(Film(shown_ms=shown_ms, bframes=2).write(tmp_path / "a.mkv"))
    assert [frame.time_s for frame in frames] == pytest.approx([(ms - 80) / 1000 for ms in shown_ms])


@needs_gstreamer
def test_only_frames_that_are_used_are_scaled_and_all_are_counted(tmp_path: Path) -> None:
    path = Film(bframes=2).write(tmp_path / "a.mp4")
    assert len(assert_same(path, Reading(height_px=24, frames_per_s=4))) == 8


@needs_gstreamer
@pytest.mark.parametrize("corners", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1)])
def test_turned_and_mirrored(corners: tuple[int, int, int, int], tmp_path: Path) -> None:
    assert_same(turn(Film(shown_ms=STEADY_MS[:8]).write(tmp_path / "a.mp4"), *corners), Reading(48, 100))


@needs_gstreamer
def test_pixels_that_are_not_square_and_a_finer_picture(tmp_path: Path) -> None:
    path = Film(shown_ms=STEADY_MS[:8], size=(320, 240), aspect=Fraction(4, 3)).write(tmp_path / "a.mp4")
    frame = assert_same(path, Reading(height_px=60, frames_per_s=100, detail_px=120))[0]
    assert frame.image.shape == (60, 106, 3) and frame.detail is not None and frame.detail.shape == (120, 214, 3)


@needs_gstreamer
@pytest.mark.parametrize("size", [(162, 90), (150, 98), (1366, 768)])
def test_sizes_whose_rows_are_padded(size: tuple[int, int], tmp_path: Path) -> None:
    assert_same(Film(shown_ms=STEADY_MS[:4], size=size).write(tmp_path / "a.mp4"), Reading(size[1], 100))


@needs_gstreamer
@pytest.mark.parametrize("colours", ["colormatrix=bt709", "colormatrix=smpte170m", "fullrange=on:colormatrix=bt709"])
def test_colours_as_the_video_declares_them(colours: str, tmp_path: Path) -> None:
    def red(number: int) -> np.ndarray:
        image = np.zeros((96, 160, 3), np.uint8)
        image[:, :80] = (30, 40, 220)
        image[:, 80:] = (200, 90, 20)
        return image

    assert_same(Film(shown_ms=STEADY_MS[:4], picture=red, options={"x264-params": colours}).write(tmp_path / "a.mp4"), mean=1.0)


@needs_gstreamer
def test_scaling_changes_no_colours(tmp_path: Path) -> None:
    """GStreamer takes large pictures for BT.709 and small ones for BT.601, where a video declares neither."""

    def blocks(number: int) -> np.ndarray:
        colours = np.random.default_rng(number).integers(30, 226, (9, 16, 3), np.uint8)
        return np.kron(colours, np.ones((80, 80, 1), np.uint8))

    path = Film(shown_ms=STEADY_MS[:3], picture=blocks, size=(1280, 720)).write(tmp_path / "a.mp4")
    reading = Reading(height_px=90, frames_per_s=100)
    for one, other in zip(*(read(path, decoder, reading)[0] for decoder in ("gstreamer", "cpu")), strict=True):
        middles, expected = (frame.image[5::10, 5::10].astype(int) for frame in (one, other))
        assert np.abs(middles - expected).max() <= 4


@needs_gstreamer
def test_timestamps_that_are_reset_count_on(tmp_path: Path) -> None:
    parts = [Film(bframes=2, shown_ms=STEADY_MS[:25]).write(tmp_path / f"{k}.ts").read_bytes() for k in range(2)]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    assert_same(tmp_path / "joined.ts")


@needs_gstreamer
def test_a_stream_without_its_first_key_frame(tmp_path: Path) -> None:
    path = Film(group=10, keep=lambda number: number > 3).write(tmp_path / "a.ts")
    assert 0 < len(assert_same(path)) < len(STEADY_MS)


@needs_gstreamer
def test_a_size_that_changes_within_the_stream(tmp_path: Path) -> None:
    parts = [Film(shown_ms=STEADY_MS[:10], size=size).write(tmp_path / f"{size[0]}.ts") for size in ((160, 96), (320, 192))]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert_same(tmp_path / "joined.ts")


@needs_gstreamer
def test_pictures_that_become_too_large_do_not_reach_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Film(shown_ms=STEADY_MS[:10], size=size).write(tmp_path / f"{size[0]}.ts") for size in ((160, 96), (320, 192))]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    monkeypatch.setattr(pipeline, "PIXELS", 200 * 120)
    with pytest.raises(VideoError, match=r"GStreamer stopped after [0-9.]+ s \(pictures of 320 x 192 pixels; expected .*use --decoder cpu"):
        read(tmp_path / "joined.ts", "gstreamer")


@needs_gstreamer
@pytest.mark.parametrize(
    ("film", "name", "reason"),
    [
        (Film(options={"x264-params": "tff=1"}), "a.mp4", "does not deinterlace, and this video is interlaced"),
        (Film(), "a.avi", "needs presentation times, which AVI does not have"),
        (Film("mjpeg", format="matroska"), "a.mkv", "is used for h264 and hevc only, and this video is mjpeg"),
        (Film(format="h264"), "a.h264", "needs presentation times, which this video does not have"),
    ],
)
def test_what_it_would_show_otherwise_pyav_decodes_with_a_reason(film: Film, name: str, reason: str, tmp_path: Path) -> None:
    path = film.write(tmp_path / name)
    frames, video = read(path, "gstreamer")
    assert video.fallback == f"decoded on the CPU: gstreamer {reason}"
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in read(path, "cpu")[0]]


def test_without_pygobject_one_line_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    _, video = read(Film(shown_ms=STEADY_MS[:4]).write(tmp_path / "a.mp4"), "gstreamer")
    assert video.fallback is not None and "apt-get install python3-gi " in video.fallback and "\n" not in video.fallback


@needs_gstreamer
def test_a_jetson_decodes_and_scales_in_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    gst, _ = pipeline.load_gstreamer()
    find = gst.ElementFactory.find
    monkeypatch.setattr(gst.ElementFactory, "find", lambda name: name.startswith("nvv") or find(name))
    chosen = choose_elements("hevc")
    assert chosen.decoder == "nvv4l2decoder"
    assert " h265parse name=parse ! nvv4l2decoder name=decode ! nvvidconv name=scale ! video/x-raw,format=I420," in chosen.description
    monkeypatch.setattr(gst.ElementFactory, "find", lambda name: find(name) if name in ("appsrc", "appsink", "h264parse") else None)
    with pytest.raises(UnfitError, match=r"lacks videoconvert, videoscale: apt-get install"):
        choose_elements("h264")


@needs_gstreamer
def test_a_decoder_that_gives_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Film().write(tmp_path / "a.mp4")
    chosen = choose_elements("h264")
    swallows = chosen.description.replace("avdec_h264 name=decode", "avdec_h264 ! valve drop=true name=decode")
    monkeypatch.setattr("wsra.runtime.video.gstreamer.choose_elements", lambda codec: Elements(chosen.start_codes, "valve", swallows))
    monkeypatch.setattr(pipeline, "_STALLED_S", 0.2)
    monkeypatch.setattr(pipeline, "_BYTES_AHEAD", 0)  # the end of the stream is never sent
    stopped = r"GStreamer stopped after 0.0 s \(no frame for 0.2 s; .* lsmod .*use --decoder cpu"
    with pytest.raises(VideoError, match=stopped), GstreamerVideo(path, EVERY) as video:
        list(video.frames())
    assert "gives no frame (no frame for 0.2 s;" in str(read(path, "gstreamer")[1].fallback)


@needs_gstreamer
def test_an_element_that_fails_in_the_midst_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Film().write(tmp_path / "a.mp4")
    chosen = choose_elements("h264")
    fails = chosen.description.replace("! videoconvert", "! identity error-after=20 ! videoconvert")
    monkeypatch.setattr("wsra.runtime.video.gstreamer.choose_elements", lambda codec: Elements(chosen.start_codes, "avdec_h264", fails))
    with pytest.raises(VideoError, match=r"a.mp4: GStreamer stopped after [0-9.]+ s \(identity[0-9]+: .*use --decoder cpu"):
        read(path, "gstreamer")


@needs_gstreamer
def test_reading_can_stop_early(tmp_path: Path) -> None:
    with open_video(
        Film(shown_ms=range(0, 20_000, 40), picture=lambda number: grey(number % 50)).write(tmp_path / "a.mp4"), EVERY, decoder="gstreamer"
    ) as video:
        with closing(video.frames()) as frames:
            assert next(frames).time_s == 0.0
        assert video.decoded < 400


@needs_gstreamer
def test_features_of_real_footage_are_equal_where_gstreamer_does_not_scale(data_folder: Path, tmp_path: Path) -> None:
    path = data_folder / "footage" / "car-detection.mp4"
    expected, features = extract_features(path), extract_features(path, decoder="gstreamer")
    assert features.extra["decoder"] == "gstreamer" and "decoder" not in expected.extra
    assert features.duration_s == expected.duration_s
    assert np.array_equal(features.times_s, expected.times_s)
    assert np.array_equal(features.values, expected.values)  # 432 rows are not scaled by GStreamer: it decodes bit for bit


@needs_gstreamer
def test_the_command(gi_folder: Path, tmp_path: Path) -> None:
    path = Film().write(tmp_path / "a.mp4")
    command = [sys.executable, "-m", "wsra.runtime.cli", "extract", str(path), "-o", str(tmp_path), "--decoder", "gstreamer"]
    found = [str(gi_folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(found)})
    assert run.stdout == f"{tmp_path / 'a.feat'}\n" and "decoded on the CPU" not in run.stderr


@needs_gstreamer
def test_libraries_that_are_loaded_after_it_can_raise(gi_folder: Path) -> None:
    code = f"""
import sys
import av
from wsra.runtime.video.pipeline import load_gstreamer
sys.path.append({str(gi_folder)!r})
load_gstreamer()
import cv2
try:
    cv2.cvtColor(1, 2)
except cv2.error:
    pass
import onnxruntime
try:
    onnxruntime.InferenceSession(b"no graph")
except Exception:
    print("raised")
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "raised\n"), run.stderr


@needs_gstreamer
def test_ground_and_bench_decode_with_it(gi_folder: Path, tmp_path: Path, clip_file: Path, rows_bundle_folder: Path) -> None:
    shutil.copy(clip_file, tmp_path / "a.mp4")
    wsra = [sys.executable, "-m", "wsra.runtime.cli"]
    found = [str(gi_folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(found)}
    shared = ["--decoder", "gstreamer", "--provider", "cpu", "--json"]
    bench = [*wsra, "bench", str(rows_bundle_folder), "a.mp4", "--repeats", "1", *shared]
    run = subprocess.run(bench, capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert json.loads(run.stdout)["decoder"] == "gstreamer"
    ground = [*wsra, "ground", "a.mp4", "a man", "-b", str(rows_bundle_folder), *shared]
    run = subprocess.run(ground, capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert "decoded on the CPU" not in run.stderr and read_features(tmp_path / "a.feat").extra["decoder"] == "gstreamer"
