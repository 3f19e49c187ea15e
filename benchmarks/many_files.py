"""The cost of a file apart from its snippets: each step of `wsra ground` over many files, and inspecting the files on a Ray cluster.

    OPENBLAS_NUM_THREADS=1 python benchmarks/many_files.py BUNDLE [--cameras 10] [--repeats 5]

The files are 24 hours of each camera, hard links to one hour of random features. Figures are medians of the CPU milliseconds
per file in the calling process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from wsra.runtime.archive.answering import recordings_for
from wsra.runtime.archive.cameras import Footage, told_apart, whole
from wsra.runtime.archive.inputs import Input, inputs_of
from wsra.runtime.archive.ranking import Ranking
from wsra.runtime.archive.tasks import Answering, Asked, Look, opened
from wsra.runtime.backends.routes import Route
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.workers.cluster import Cluster

HOUR, QUERY = 3600, "a red car"


def fill(folder: Path, cameras: int, backbone: str, width: int) -> None:
    """Write a day for each camera, in files of an hour."""
    starts = np.arange(HOUR, dtype=np.float64)
    values = np.random.default_rng(0).normal(size=(HOUR, width)).astype(np.float32)
    hour = folder / "hour"
    write_features(hour, Features(values, np.stack([starts, starts + 1], 1), "hour", float(HOUR), backbone))
    for camera in range(cameras):
        for number in range(24):
            os.link(hour, folder / f"cam{camera}_{datetime(2026, 11, 23) + timedelta(hours=number):%Y%m%d_%H%M%S}.feat")


def looked(asked: Asked, inputs: list[Input]) -> list[Footage]:
    """Inspect the files."""
    found = [Look(asked)(given) for given in inputs]
    return [one for one in found if isinstance(one, Footage)]


def steps_here(asked: Asked, folder: Path, backbone: str) -> Iterator[tuple[str, float]]:
    """CPU seconds of each step of one query."""
    begin = time.process_time()
    inputs = inputs_of(folder, backbone)
    yield "list", time.process_time() - begin
    begin = time.process_time()
    footage = looked(asked, inputs)
    yield "look", time.process_time() - begin
    begin = time.process_time()
    joined = recordings_for([whole(file) for file in told_apart(footage)], "maximal")
    yield "join", time.process_time() - begin
    numbers = HOUR * len(inputs) * opened(asked).grounder.scorer.key_width
    answering, ranking = Answering(asked, numbers), Ranking([QUERY], top_k=5)
    begin = time.process_time()
    answers = [answering(recording) for recording in joined]
    yield "answer", time.process_time() - begin
    begin = time.process_time()
    for answered in answers:
        ranking.add(answered)
    yield "merge", time.process_time() - begin


def steps_on_ray(cluster: Cluster, asked: Asked, inputs: list[Input]) -> Iterator[tuple[str, float]]:
    """CPU seconds of the calling process for inspecting files on the cluster."""
    for size in (1, 64):
        begin = time.process_time()
        for _ in cluster.map(Look(asked), inputs, chunksize=size):
            pass
        yield f"look on Ray, {size} a task", time.process_time() - begin


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    asked = Asked(given.bundle, Route("fp32", "cpu"), (QUERY,), 5, None, None, 1, False)
    manifest, taken = opened(asked).grounder.manifest, defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, given.cameras, manifest.backbone, manifest.feature_width)
        inputs = inputs_of(folder, manifest.backbone)
        for _ in range(given.repeats + 1):
            for step, seconds in steps_here(asked, folder, manifest.backbone):
                taken[step].append(1000 * seconds / len(inputs))
        if find_spec("ray"):
            with Cluster("local") as cluster:
                for _ in range(given.repeats + 1):
                    for step, seconds in steps_on_ray(cluster, asked, inputs):
                        taken[step].append(1000 * seconds / len(inputs))
        else:
            print("ray is not installed; skipped", file=sys.stderr)
    print(f"{len(inputs)} files of an hour, keys {manifest.key_width} wide; CPU ms per file in the calling process\n")
    print("| step | ms |\n|---|---|")
    for step, ms in taken.items():
        print(f"| {step} | {np.median(ms[1:]):.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
