"""A decoder of the hardware is used where it gives a frame; otherwise the CPU, and that is said."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("av")

from av import VideoFrame
from av.video.reformatter import VideoReformatter
from films import STEADY_MS, Film, level

from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import search
from wsra.runtime.backends.settings import RunSettings, decodes_on_nvidia
from wsra.runtime.formats.features import read_features
from wsra.runtime.video.container import open_container
from wsra.runtime.video.frames import Frame, Video
from wsra.runtime.video.hardware import open_decoder

pytestmark = pytest.mark.device
ROUNDED = 2.0  # grey levels by which a conversion of pixel formats may differ


def read(path: Path, decoder: str) -> tuple[list[Frame], str | None]:
    with Video(path, height_px=96, frames_per_s=100, decoder=decoder) as video:
        return list(video.frames()), video.fallback


@pytest.mark.parametrize("decoder", ["cuda", "vaapi", "videotoolbox", "nonsense"])
def test_frames_and_times_are_the_same_with_any_decoder(decoder: str, tmp_path: Path) -> None:
    path = Film(bframes=3).write(tmp_path / "a.mp4")
    expected, _ = read(path, "cpu")
    frames, fallback = read(path, decoder)
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in expected]
    assert max(abs(level(a.image) - level(b.image)) for a, b in zip(frames, expected, strict=True)) <= ROUNDED
    if fallback is not None:
        assert fallback.startswith(f"decoded on the CPU: {decoder} ") and str(path) not in fallback
        assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, expected, strict=True))


def test_hardware_that_opens_but_gives_no_frame_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hwaccel = pytest.importorskip("av.codec.hwaccel")
    path = Film().write(tmp_path / "a.mp4")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the driver gives nothing")

    monkeypatch.setattr(hwaccel, "hwdevices_available", lambda: ["cuda"])
    monkeypatch.setattr(hwaccel, "HWAccel", refuse)
    container, fallback = open_decoder(path, "cuda")
    container.close()
    assert fallback == "decoded on the CPU: cuda gives no frame (the driver gives nothing)"


def test_the_device_of_a_decoder_is_named_after_a_colon_and_keeps_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, dict[str, object]]] = []

    def accelerator(kind: str, **options: object) -> None:  # and the CPU decodes
        asked.append((kind, options))

    monkeypatch.setattr("av.codec.hwaccel.hwdevices_available", lambda: ["cuda"])
    monkeypatch.setattr("av.codec.hwaccel.HWAccel", accelerator)
    path = Film().write(tmp_path / "a.mp4")
    for decoder, device in (("cuda", None), ("cuda:1", "1")):
        container, fallback = open_decoder(path, decoder)
        container.close()
        assert fallback is None
        assert asked[-1] == ("cuda", {"device": device, "allow_software_fallback": False, "is_hw_owned": True})


@pytest.mark.parametrize(
    ("decoder", "counts"), [("cuda", True), ("cuda:1", True), ("cpu", False), ("gstreamer", False), ("vaapi:/dev/dri/renderD128", False)]
)
def test_a_task_on_a_cluster_needs_a_gpu_for_the_decoder_of_nvidia(decoder: str, counts: bool) -> None:
    assert decodes_on_nvidia(decoder) is counts


class DeviceFrame:
    """A decoded frame as PyAV gives it where it stays in the memory of a GPU: no pixels, until it is converted."""

    format = SimpleNamespace(name="cuda")

    def __init__(self, frame: VideoFrame, copied: list[int]) -> None:
        self._frame, self._copied = frame, copied

    def __getattr__(self, name: str) -> object:
        if name in ("planes", "to_ndarray"):
            raise ValueError("Cannot convert a hardware frame to numpy directly.")
        return getattr(self._frame, name)

    def reformat(self, **to: object) -> VideoFrame:
        self._copied.append(self._frame.pts)
        return self._frame.reformat(**to)


class DeviceReformatter:
    """As PyAV's: copies a frame of a GPU to the memory of the CPU before it scales it."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def reformat(self, frame: object, width: int, height: int, format: str, interpolation: str) -> VideoFrame:
        if isinstance(frame, DeviceFrame):
            return frame.reformat(width=width, height=height, format=format, interpolation=interpolation)
        return self._scaler.reformat(frame, width, height, format, interpolation=interpolation)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """PTS of the frames that were copied from the stand-in's memory to that of the CPU; every decoder but "cpu" is one."""
    copies: list[int] = []
    plain = Video._decoded

    def decoded(video: Video) -> Iterator[object]:
        return (DeviceFrame(frame, copies) if video._from_device else frame for frame in plain(video))

    monkeypatch.setattr("wsra.runtime.video.frames.open_decoder", lambda path, _: (open_container(path), None))
    monkeypatch.setattr("av.video.reformatter.VideoReformatter", DeviceReformatter)
    monkeypatch.setattr(Video, "_decoded", decoded)
    return copies


def test_only_frames_that_are_taken_leave_the_memory_of_the_decoder(tmp_path: Path, copied: list[int]) -> None:
    path = Film(bframes=3).write(tmp_path / "a.mp4")
    pictures = {}
    for decoder in ("cpu", "cuda"):
        with Video(path, height_px=48, frames_per_s=5, decoder=decoder) as video:
            pictures[decoder] = [(frame.time_s, frame.image) for frame in video.frames()]
        assert video.decoded == len(STEADY_MS)
    assert len(copied) == len(pictures["cuda"]) == len(STEADY_MS) // 5
    for (time_s, image), (expected_s, expected) in zip(pictures["cuda"], pictures["cpu"], strict=True):
        assert time_s == expected_s
        np.testing.assert_array_equal(image, expected)


def test_interlaced_frames_leave_it_to_be_deinterlaced(tmp_path: Path, copied: list[int]) -> None:
    path = Film(options={"x264-params": "tff=1"}).write(tmp_path / "a.mp4")
    frames, _ = read(path, "cuda")
    expected, _ = read(path, "cpu")
    assert len(copied) == len(STEADY_MS)
    for frame, plain in zip(frames, expected, strict=True):
        assert frame.time_s == plain.time_s
        np.testing.assert_array_equal(frame.image, plain.image)


def test_the_fallback_is_said_on_stderr(tmp_path: Path) -> None:
    path = Film().write(tmp_path / "a.mp4")
    command = [sys.executable, "-m", "wsra.runtime.cli", "extract", str(path), "-o", str(tmp_path), "--decoder", "nonsense"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "decoded on the CPU: nonsense " in run.stderr


def test_ground_decodes_with_what_is_asked_and_says_what_did(
    tmp_path: Path, clip_file: Path, rows_bundle_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = Path(shutil.copy(clip_file, tmp_path / "a.mp4"))
    settings = RunSettings("fp32", "cpu", threads=1, decoder="nonsense")
    search(Request([video], Question(("a man",)), rows_bundle_folder, settings))
    recorded = read_features(tmp_path / "a.feat").extra["decoder"]
    assert recorded.startswith("decoded on the CPU: nonsense ") and f"{video}: {recorded}" in caplog.messages
