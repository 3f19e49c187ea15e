"""The decode matrix: real files of every kind, their frames and times against what was written and against ffprobe's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from av.codec.codec import UnknownCodecError
from films import STEADY_MS, Film, level, patch_box, write_unclosed

from wsra.runtime.video.frames import Video

pytestmark = pytest.mark.device
os.environ.setdefault("SVT_LOG", "1")

STAMP_S = 2e-3  # containers round to milliseconds or 1/90000 s
VFR_MS = (0, 40, 80, 500, 520, 2000, 2040, 2060, 2300, 3000)


@dataclass(frozen=True)
class Case:
    """One kind of file.

    Attributes:
        name: of the file.
        make: writes it.
        shown_ms: times of its frames after the first.
        exact: False where damage leaves only some of these frames.
        damage: what is said of it, as a pattern; None for nothing, where the frames are exact.
        in_ffprobe: False where ffprobe gives no times, or times that jump back.
    """

    name: str
    make: Callable[[Path], object]
    shown_ms: tuple[int, ...] = STEADY_MS
    exact: bool = True
    damage: str | None = None
    in_ffprobe: bool = True


def shifted(first_ms: int) -> tuple[int, ...]:
    return tuple(first_ms + shown for shown in STEADY_MS)


def trimmed(path: Path) -> Path:
    """An edit list that begins 0.6 s into the track (its clock is 1/16000 s here), between two key frames."""
    Film(group=25).write(path)
    timescale = int.from_bytes(_box(path, b"mdhd")[16:20], "big")
    return patch_box(path, b"elst", 16, (timescale * 6 // 10).to_bytes(4, "big"))


def delayed(path: Path) -> Path:
    """An edit list that begins with nothing for 5 s, as FFmpeg writes a late first frame."""
    Film(shown_ms=shifted(5000)).write(path)
    assert b"\xff\xff\xff\xff" in _box(path, b"elst")[:28], "no empty edit was written"
    return path


def _box(path: Path, kind: bytes) -> bytes:
    content = path.read_bytes()
    return content[content.index(kind) :]


def cut(film: Film, share: float) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        film.write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def flipped(film: Film) -> Callable[[Path], object]:
    """Some bytes in the middle are wrong."""

    def make(path: Path) -> None:
        film.write(path)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 600] = bytes(byte ^ 0x5A for byte in content[middle : middle + 600])
        path.write_bytes(content)

    return make


def joined(*films: Film) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        parts = [film.write(path.with_name(f"{number}{path.suffix}")).read_bytes() for number, film in enumerate(films)]
        path.write_bytes(b"".join(parts))

    return make


def noisy(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (96, 160, 3), np.uint8)


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
CASES = [
    # codecs
    Case("h264.mp4", Film().write),
    Case("h264-b.mp4", Film(bframes=3).write),
    Case("h264-b.ts", Film(bframes=3).write),
    Case("h264-b.flv", Film(bframes=3).write),
    Case("h264.avi", Film().write),
    Case("h264-b.avi", Film(bframes=3).write),
    Case("hevc-b.mp4", Film("libx265", bframes=3).write),
    Case("mpeg4.avi", Film("mpeg4").write),
    Case("mpeg4-b.avi", Film("mpeg4", bframes=2).write),
    Case("mpeg2-b.mpg", Film("mpeg2video", bframes=2).write),
    Case("mjpeg.avi", Film("mjpeg").write),
    Case("mjpeg.mkv", Film("mjpeg").write),
    Case("vp9.webm", Film("libvpx-vp9").write),
    Case("av1.mkv", Film("libsvtav1").write),
    Case("av1.mp4", Film("libsvtav1").write),
    # a variable rate
    Case("vfr.mp4", Film(shown_ms=VFR_MS).write, VFR_MS),
    Case("vfr-b.mp4", Film(shown_ms=VFR_MS, bframes=3).write, VFR_MS),
    Case("vfr-b.mkv", Film(shown_ms=VFR_MS, bframes=3).write, VFR_MS),
    Case("vfr-b.ts", Film(shown_ms=VFR_MS, bframes=3).write, VFR_MS),
    Case("vfr-hevc-b.mkv", Film("libx265", shown_ms=VFR_MS, bframes=3).write, VFR_MS),
    Case("vfr-mjpeg.mkv", Film("mjpeg", shown_ms=VFR_MS).write, VFR_MS),
    Case("vfr-vp9.webm", Film("libvpx-vp9", shown_ms=VFR_MS).write, VFR_MS),
    # a start that is not 0, and edit lists
    Case("late.mkv", Film(shown_ms=shifted(5000)).write),
    Case("late.ts", Film(shown_ms=shifted(5000)).write),
    Case("edit-delayed.mp4", delayed),
    Case("edit-trimmed.mp4", trimmed, STEADY_MS[:35]),
    # no length, no times
    Case("raw.h264", Film(bframes=3, format="h264").write, damage="carry no times: 25 a second", in_ffprobe=False),
    Case("raw.hevc", Film("libx265", bframes=3, format="hevc").write, damage="carry no times: 25 a second", in_ffprobe=False),
    Case("raw.mjpeg", Film("mjpeg", format="mjpeg").write),
    # missing and damaged frames
    Case("missing.mkv", Film(group=1, keep=lambda n: not 10 <= n < 20).write, STEADY_MS[:10] + STEADY_MS[20:]),
    Case("lost-references.mkv", Film(group=25, keep=lambda n: n not in (5, 6, 7)).write, exact=False),
    Case("no-first-key.ts", Film(group=25, keep=lambda n: n >= 10).write, exact=False),
    Case("flipped.ts", flipped(Film(picture=noisy)), exact=False, damage="were damaged"),
    Case("flipped.mp4", flipped(Film(picture=noisy)), exact=False, damage="were damaged"),
    Case("flipped-hevc.mkv", flipped(Film("libx265", picture=noisy)), exact=False),
    # still being written, or cut off
    Case("cut.ts", cut(Film(picture=noisy), 0.6), exact=False),
    Case("cut.mkv", cut(Film(picture=noisy), 0.4), exact=False, damage="ends at 0.[78] s of 2.0 s that it declares"),
    Case("cut.avi", cut(Film("mjpeg", picture=noisy), 0.6), exact=False),
    Case("live.mkv", partial(write_unclosed, Film(format="matroska")), damage="not complete"),
    Case("live.mp4", partial(write_unclosed, Film(format="mp4", group=10, container=FRAGMENTS))),
    Case("live-cut.mp4", cut(Film(picture=noisy, group=10, container=FRAGMENTS), 0.6), exact=False, damage="not complete"),
    # two recordings in one file
    Case("joined.ts", joined(Film(), Film()), tuple(range(0, 4000, 40)), damage="1 packets or frames", in_ffprobe=False),
]


def ffprobe_s(path: Path) -> list[float | None]:
    """Times of the frames as ffprobe tells them, after the first; None where it tells none."""
    command = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0"]
    lines = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=600).stdout.split()
    times_s = [None if "N/A" in line else float(line.strip(",")) for line in lines]
    return [None if time_s is None else time_s - (times_s[0] or 0.0) for time_s in times_s]


@pytest.mark.parametrize("reference", ["written", "ffprobe"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_frames_and_times(case: Case, reference: str, tmp_path: Path) -> None:
    if reference == "ffprobe" and (not case.in_ffprobe or shutil.which("ffprobe") is None):
        pytest.skip("ffprobe tells no usable times here, or is not on PATH: compared with the written times alone")
    path = tmp_path / case.name
    try:
        case.make(path)
    except UnknownCodecError as err:
        pytest.skip(f"this PyAV has no such encoder: {err}")
    with Video(path, height_px=96, frames_per_s=1000) as video:
        frames = list(video.frames())
    times_s = np.array([frame.time_s for frame in frames])
    assert (np.diff(times_s) > 0).all() and times_s[0] == 0 and video.end_s > times_s[-1]
    if reference == "ffprobe":
        theirs = ffprobe_s(path)
        if not case.exact:  # versions of FFmpeg differ in whether they give the last frame of a cut file
            assert abs(len(times_s) - len(theirs)) <= 1
            times_s, theirs = times_s[: len(theirs)], theirs[: len(times_s)]
        assert len(times_s) == len(theirs)
        known = np.array([k for k, time_s in enumerate(theirs) if time_s is not None])
        np.testing.assert_allclose(times_s[known], [theirs[k] for k in known], atol=STAMP_S)
        return
    shown_s = np.array(case.shown_ms) / 1000
    if case.exact:
        np.testing.assert_allclose(times_s, shown_s, atol=STAMP_S)
        levels = [level(frame.image) for frame in frames]
        assert case.name == "joined.ts" or (np.diff(levels) > -1.5).all()  # in presentation order
    else:
        assert 8 <= len(times_s) <= len(shown_s)
        assert np.abs(times_s[:, None] - shown_s).min(axis=1).max() < STAMP_S
    damage = video.damage()
    if case.damage is not None:
        assert damage is not None and re.search(case.damage, damage), damage
    elif case.exact:
        assert damage is None
