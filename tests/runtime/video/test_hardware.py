"""A decoder of the hardware is used where it gives a frame; otherwise the CPU, and that is said."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from films import Film, level

from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import search
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.formats.features import read_features
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
        assert fallback.startswith(f"decoded on the CPU: {decoder} ")
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
