"""Speed of extracting a 720p H.264 file, beside decoding it alone and ffmpeg piping full frames into Python.

    python benchmarks/decode.py [--minutes 2] [--rounds 5] [--bframes 0] [VIDEO]

Without VIDEO, a video is made: 25 frames per second, 3 Mbit/s, noise and three moving things. ffmpeg is the binary of the package
imageio-ffmpeg, or else the one on PATH. All ways run in turn in each round, so that a change of the machine's speed affects all equally.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

from wsra.runtime.extraction.batch import extract_features

WIDTH_PX, HEIGHT_PX, FPS = 1280, 720, 25


def pictures(count: int) -> Iterator[np.ndarray]:
    """(1080, 1280) uint8 planes of YUV 4:2:0: a fixed background, grain, and three things that cross it."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 190, (45, 80), np.uint8), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    grain = [rng.normal(0, 5, (HEIGHT_PX + 16, WIDTH_PX + 16)).astype(np.int16) for _ in range(4)]
    for number in range(count):
        planar = np.full((HEIGHT_PX * 3 // 2, WIDTH_PX), 128, np.uint8)
        light = ground.copy()
        for k in range(3):
            left = int((number / FPS * (60 + 30 * k) + 400 * k) % (WIDTH_PX + 200)) - 100
            light[200 + 120 * k : 420 + 120 * k, max(0, left) : max(0, left + 70)] = 40 + 70 * k
        row, column = rng.integers(0, 16, 2)
        planar[:HEIGHT_PX] = cv2.add(light, grain[number % 4][row : row + HEIGHT_PX, column : column + WIDTH_PX], dtype=cv2.CV_8U)
        yield planar


def make(path: Path, minutes: float, bframes: int) -> None:
    """Encode these frames as a camera would: a key frame every two seconds, and a bounded bit rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        rate = {"b": "3000000", "maxrate": "3000000", "bufsize": "3000000"}
        stream.options = {"preset": "veryfast", "bf": str(bframes), "g": "50", **rate}
        for number, planar in enumerate(pictures(round(minutes * 60 * FPS))):
            frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def decode_only(path: Path) -> int:
    """Decode every frame and use none."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))


def extract_motion(path: Path) -> int:
    """Extract with the `motion` backbone, one snippet per second."""
    return len(extract_features(path))


def pipe_full_frames(path: Path) -> int:
    """Read every full frame from ffmpeg as BGR, and use none."""
    command = [_ffmpeg(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"]
    frame, count = bytearray(WIDTH_PX * HEIGHT_PX * 3), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        pipe = cast("FileIO", process.stdout)  # bufsize=0 makes it one
        view, filled = memoryview(frame), 0
        while got := pipe.readinto(view[filled:]):
            filled = (filled + got) % len(frame)
            count += filled == 0
    return count


def _ffmpeg() -> str:
    try:
        imageio_ffmpeg = import_module("imageio_ffmpeg")
    except ImportError:
        return shutil.which("ffmpeg") or sys.exit("no ffmpeg: pip install imageio-ffmpeg, or put one on PATH")
    return str(imageio_ffmpeg.get_ffmpeg_exe())


WAYS: dict[str, Callable[[Path], int]] = {
    "decode only": decode_only,
    "extract, motion": extract_motion,
    "ffmpeg, full frames into Python": pipe_full_frames,
}


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bframes", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or Path(folder) / "made.mp4"
        if args.video is None:
            make(video, args.minutes, args.bframes)
        with av.open(str(video)) as container:
            length_s = container.duration / 1e6
        wall: dict[str, list[float]] = {name: [] for name in WAYS}
        busy: dict[str, list[float]] = {name: [] for name in WAYS}
        for number in range(args.rounds + 1):
            for name, run in WAYS.items():
                start, before = time.perf_counter(), os.times()
                run(video)
                after = os.times()
                if number:  # the first round warms up
                    wall[name].append(time.perf_counter() - start)
                    busy[name].append(sum(after[:4]) - sum(before[:4]))
        megabits = video.stat().st_size * 8 / 1e6 / length_s
        print(f"{length_s:.0f} s of video, {megabits:.1f} Mbit/s, {os.cpu_count()} cores, PyAV {av.__version__}, medians of {args.rounds}")
        print(
            "| way | times real time | of decode only | of decode only, in each round | CPU s per minute of video |\n|---|---|---|---|---|"
        )
        alone = wall["decode only"]
        for name, times in wall.items():
            median = statistics.median(times)
            ratio = statistics.median(alone) / median
            ratios = [a / t for a, t in zip(alone, times, strict=True)]
            cpu = statistics.median(busy[name]) / length_s * 60
            print(f"| {name} | {length_s / median:.0f} | {ratio:.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {cpu:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
