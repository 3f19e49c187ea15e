"""Extraction as a command: what an interruption leaves, and how much memory a long video takes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

import av
from typer.testing import CliRunner

import wsra.runtime.extraction.batch
from wsra.runtime.cli import app
from wsra.runtime.errors import OutputError, WsraError
from wsra.runtime.extraction.batch import extract_batch
from wsra.runtime.extraction.continued import extract_recording
from wsra.runtime.files.locks import locked
from wsra.runtime.formats.features import read_features, write_features
from wsra.runtime.formats.wallclock import Start
from wsra.runtime.workers.processes import Processes

pytestmark = pytest.mark.device

FILES = 30
PATIENCE_S = 300  # of who waits for another process; it is only so long where something hangs
MIB = 1024  # ru_maxrss is in KiB
ROW_MIB = (186 * 2 + 3 * (16 + 16 + 8)) / 2**20 * 1.125  # the result itself, in memory that grows by an eighth at a time; times are sorted
ALLOWED_MIB = 4  # what two runs differ by


def command(videos: list[Path], out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "wsra.runtime.cli", "extract", *map(str, videos), "-o", str(out), *options]


@pytest.mark.parametrize("options", [(), ("--continue",)], ids=["apart", "continued"])
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_batch_resumes_and_ends_as_an_undisturbed_one(options: tuple[str, ...], clip_file: Path, tmp_path: Path) -> None:
    """`kill -9` in the middle of 30 files; what is complete is kept, the rest is made, and no byte differs."""
    videos = [shutil.copy(clip_file, tmp_path / f"{number:02d}.mp4") for number in range(FILES)]
    subprocess.run(command(videos, tmp_path / "undisturbed", *options), check=True, capture_output=True)
    out = tmp_path / "out"
    with locked(out / f"{FILES - 5}.feat"):  # there it waits where this process is late to kill it
        running = subprocess.Popen(command(videos, out, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while len(list(out.glob("*.feat"))) < FILES // 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.feat")}
    assert FILES // 3 <= len(done) < FILES
    resumed = subprocess.run(command(videos, out, *options), check=True, capture_output=True, text=True)
    assert resumed.stderr.count("kept, already extracted") == len(done)
    assert {name: (out / name).stat().st_mtime_ns for name in done} == done
    made = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "undisturbed").iterdir()}


def steady(path: Path, seconds: int) -> Path:
    """One frame a second, of which the encoder writes almost nothing."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "40", "threads": "1"}
        for number in range(seconds):
            image = np.full((120, 160, 3), 110, np.uint8)
            image[60:100, number % 140 : number % 140 + 12] = 30
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource")
@pytest.mark.slow
@pytest.mark.parametrize("long_s", [1800, pytest.param(7200, marks=pytest.mark.full)])
def test_hours_take_no_more_memory_than_a_minute_but_for_the_features(tmp_path: Path, long_s: int) -> None:
    measured = {}
    for name, seconds in (("minute", 60), ("long", long_s)):
        video = steady(tmp_path / f"{seconds}.mkv", seconds)
        code = (
            "import resource; from wsra.runtime.extraction.batch import extract_features;"
            f"print(len(extract_features({str(video)!r})), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        rows, measured[name] = (int(word) for word in run.stdout.split())
        assert rows > 0.5 * (seconds - 20)
    assert (measured["long"] - measured["minute"]) / MIB < rows * ROW_MIB + ALLOWED_MIB, measured


@pytest.mark.parametrize("continued", [False, True])
def test_a_video_that_is_deleted_meanwhile_does_not_stop_the_rest(continued: bool, clip_file: Path, tmp_path: Path) -> None:
    """Recorders delete their oldest files."""
    videos = [Path(shutil.copy(clip_file, tmp_path / name)) for name in ("old.mp4", "new.mp4")]

    def delete(done_s: float, total_s: float | None) -> None:
        videos[0].unlink(missing_ok=True)

    extract = extract_recording if continued else extract_batch
    old, new = extract(videos, tmp_path / "out", progress=delete)
    assert old.error is not None and "deleted or replaced meanwhile" in old.error and not old.feat.exists()
    assert new.error is None and new.feat.exists()


def test_a_process_that_was_killed_is_one_line(clip_file: Path, tmp_path: Path) -> None:
    videos = [Path(shutil.copy(clip_file, tmp_path / f"{number}.mp4")) for number in range(40)]
    others = multiprocessing.active_children()
    with locked(tmp_path / "out" / "20.feat"):  # the batch does not end before a process is killed
        batch = extract_batch(videos, tmp_path / "out", pool=Processes(2))
        next(batch)
        worker = next(child for child in multiprocessing.active_children() if child not in others)
        worker.kill()
        with pytest.raises(WsraError, match="one of the 2 processes was killed.*fewer --jobs"):
            list(batch)


def test_a_folder_that_cannot_be_written_is_refused_before_an_hour_is_decoded(clip_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for extract in (extract_batch, extract_recording):
        with pytest.raises(OutputError, match="cannot be written to"):
            list(extract([clip_file], tmp_path / "file" / "out"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root reads everything, whatever its mode."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="modes of files are of Unix")
@pytest.mark.parametrize("continued", [False, True])
def test_a_video_that_must_not_be_read_does_not_stop_the_rest(continued: bool, clip_file: Path) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o777)
        closed, open_ = (Path(shutil.copy(clip_file, folder / name)) for name in ("closed.mp4", "open.mp4"))
        options = ["--continue"] if continued else []
        assert CliRunner().invoke(app, ["extract", str(open_), "-o", str(folder / "first"), *options]).exit_code == 0  # all is imported
        closed.chmod(0)
        with as_nobody():
            done = CliRunner().invoke(app, ["extract", str(closed), str(open_), "-o", str(folder / "out"), *options])
        assert done.exit_code == 1, done.output
        assert f"wsra: {closed}: cannot be read (permission denied); allow this user to read it" in done.stderr
        assert [path.name for path in (folder / "out").glob("*.feat")] == ["open.feat"]


@pytest.mark.parametrize("raised", [OverflowError("date value out of range"), MemoryError(), AttributeError("'VideoStream' has no width")])
@pytest.mark.parametrize("continued", [False, True])
def test_whatever_a_library_raises_over_one_video_does_not_stop_the_rest(
    continued: bool, raised: Exception, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [Path(shutil.copy(clip_file, tmp_path / name)) for name in ("bad.mp4", "good.mp4")]
    real = wsra.runtime.extraction.batch.start_of

    def fails(path: Path, metadata: Mapping[str, str], duration_s: float) -> Start:
        if path.name == "bad.mp4":
            raise raised
        return real(path, metadata, duration_s)

    monkeypatch.setattr(wsra.runtime.extraction.batch, "start_of", fails)
    bad, good = (extract_recording if continued else extract_batch)(videos, tmp_path / "out")
    assert bad.error is not None and bad.error.startswith(f"{videos[0]}: cannot be used ({type(raised).__name__}")
    assert good.error is None and good.feat.exists()


def test_a_damaged_clock_of_the_file_before_is_no_fault_of_the_next(clip_file: Path, tmp_path: Path) -> None:
    videos = [Path(shutil.copy(clip_file, tmp_path / f"2026-11-23_14-0{minute}-00.mp4")) for minute in range(2)]
    first = next(iter(extract_recording(videos, tmp_path / "out")))
    features = read_features(first.feat)
    write_features(first.feat, replace(features, extra={**features.extra, "start_time": "yesterday"}))
    assert [done.error for done in extract_recording(videos, tmp_path / "out")] == [None, None]


@pytest.mark.parametrize("continued", [False, True])
def test_a_folder_that_has_the_name_of_the_features_stays(continued: bool, clip_file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out" / f"{clip_file.stem}.feat" / "of_the_house"
    kept.parent.mkdir(parents=True)
    kept.write_text("front door")
    batch = extract_recording if continued else extract_batch
    (done,) = batch([clip_file], tmp_path / "out", overwrite=True)
    assert done.error is not None and "a folder stands there; expected a file" in done.error
    assert kept.read_text() == "front door"


def test_two_batches_at_once_extract_a_video_once(clip_file: Path, tmp_path: Path) -> None:
    videos = [shutil.copy(clip_file, tmp_path / f"{number}.mp4") for number in range(3)]
    both = [
        subprocess.Popen(command(videos, tmp_path / "out"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ends = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.feat", "1.feat", "2.feat"]
    said = "".join(err for _, err in ends)
    assert said.count("kept") == 3, said
