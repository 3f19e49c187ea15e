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

from wsra.runtime.archive.answering import Ranking, recordings_for
from wsra.runtime.archive.cameras import Footage, distinct_names, whole
from wsra.runtime.archive.inputs import Input, inputs_of
from wsra.runtime.archive.request import Question
from wsra.runtime.archive.session import AnswerRecording, Look, Session, SessionSpec
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
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


def looked(session: Session, inputs: list[Input]) -> list[Footage]:
    """Inspect the files."""
    found = [Look(session)(given) for given in inputs]
    return [one for one in found if isinstance(one, Footage)]


def steps_here(session: Session, folder: Path, backbone: str) -> Iterator[tuple[str, float]]:
    """CPU seconds of each step of one query."""
    begin = time.process_time()
    inputs = inputs_of(folder, backbone)
    yield "list", time.process_time() - begin
    begin = time.process_time()
    footage = looked(session, inputs)
    yield "look", time.process_time() - begin
    begin = time.process_time()
    joined = recordings_for([whole(file) for file in distinct_names(footage)], "maximal")
    yield "join", time.process_time() - begin
    answering, ranking = AnswerRecording(session, HOUR * len(inputs)), Ranking(session.spec.question)
    begin = time.process_time()
    answers = [answering(recording) for recording in joined]
    yield "answer", time.process_time() - begin
    begin = time.process_time()
    for answered in answers:
        ranking.add(answered)
    yield "merge", time.process_time() - begin


def steps_on_ray(cluster: Cluster, session: Session, inputs: list[Input]) -> Iterator[tuple[str, float]]:
    """CPU seconds of the calling process for inspecting files on the cluster."""
    for size in (1, 64):
        begin = time.process_time()
        for _ in cluster.map(Look(session), inputs, chunksize=size):
            pass
        yield f"look on Ray, {size} a task", time.process_time() - begin


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    spec = SessionSpec(given.bundle, Route("fp32", "cpu"), RunSettings("fp32", "cpu", threads=1), Question((QUERY,)))
    taken = defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory() as name, Session(spec) as session:
        folder, manifest = Path(name), session.grounder.manifest
        fill(folder, given.cameras, manifest.backbone, manifest.feature_width)
        inputs = inputs_of(folder, manifest.backbone)
        for _ in range(given.repeats + 1):
            for step, seconds in steps_here(session, folder, manifest.backbone):
                taken[step].append(1000 * seconds / len(inputs))
        if find_spec("ray"):
            with Cluster("local") as cluster:
                for _ in range(given.repeats + 1):
                    for step, seconds in steps_on_ray(cluster, session, inputs):
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
