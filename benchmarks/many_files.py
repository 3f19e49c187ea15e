"""What a file costs beside its snippets: every step of `wsra ground` over many files, here and, of looking at them, on a Ray cluster.

    OPENBLAS_NUM_THREADS=1 python benchmarks/many_files.py BUNDLE [--cameras 10] [--repeats 5]

The files are 24 hours of each camera, hard links to one hour of random features. CPU milliseconds a file of the process that asks, medians.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.archive.answering import Answered, recordings_for
from wsra.runtime.archive.cameras import told_apart, whole
from wsra.runtime.archive.inputs import inputs_of
from wsra.runtime.archive.ranking import Ranking
from wsra.runtime.archive.tasks import Answering, Asked, Look, opened
from wsra.runtime.backends.routes import Route
from wsra.runtime.features import Features, write_features
from wsra.runtime.workers.cluster import Cluster

HOUR, QUERY = 3600, "a red car"


def fill(folder: Path, cameras: int, backbone: str, width: int) -> None:
    """A day of each camera, in files of an hour."""
    starts = np.arange(HOUR, dtype=np.float64)
    values = np.random.default_rng(0).normal(size=(HOUR, width)).astype(np.float32)
    hour = folder / "hour"
    write_features(hour, Features(values, np.stack([starts, starts + 1], 1), "hour", float(HOUR), backbone))
    for camera in range(cameras):
        for number in range(24):
            os.link(hour, folder / f"cam{camera}_{datetime(2026, 11, 23) + timedelta(hours=number):%Y%m%d_%H%M%S}.feat")


class Clock:
    """CPU milliseconds of named steps."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def time(self, name: str, step: Callable[[], Any], files: int) -> Any:
        """What a step gives."""
        begin = time.process_time()
        result = step()
        self.taken.setdefault(name, []).append(1000 * (time.process_time() - begin) / files)
        return result


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    asked, clock = Asked(given.bundle, Route("fp32", "cpu"), (QUERY,), 5, None, None, 1, False), Clock()
    manifest = opened(asked).grounder.manifest
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, given.cameras, manifest.backbone, manifest.feature_width)
        answered: list[Answered] = []
        for _ in range(given.repeats + 1):
            inputs = clock.time("list", lambda: inputs_of(folder, manifest.backbone), 24 * given.cameras)
            looked = clock.time("look", lambda found=inputs: [Look(asked)(one) for one in found], len(inputs))
            joined = clock.time("join", lambda found=looked: recordings_for([whole(f) for f in told_apart(found)], "maximal"), len(inputs))
            answered = clock.time("answer", lambda found=joined: [Answering(asked)(one) for one in found], len(inputs))
            clock.time("merge", lambda found=answered: [Ranking([QUERY], top_k=5).add(one) for one in found], len(inputs))
        if find_spec("ray"):
            with Cluster("local") as cluster:
                for _ in range(given.repeats + 1):
                    for size in (1, 64):
                        step = lambda found=inputs, size=size: list(cluster.map(Look(asked), found, chunksize=size))  # noqa: E731
                        clock.time(f"look on Ray, {size} a task", step, len(inputs))
        else:
            print("ray is not installed: left out", file=sys.stderr)
    print(f"{len(inputs)} files of an hour, keys {manifest.key_width} wide; CPU ms a file where it is asked\n\n| step | ms |\n|---|---|")
    for step_name, taken in clock.taken.items():
        print(f"| {step_name} | {np.median(taken[1:]):.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
