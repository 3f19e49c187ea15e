"""The cost of a file apart from its snippets: each step of `wsra ground` over many files.

    OPENBLAS_NUM_THREADS=1 python benchmarks/many_files.py BUNDLE [--cameras 10] [--repeats 5]

The files are 24 hours of each camera, hard links to one hour of random features. Figures are medians of the CPU milliseconds
per file in the calling process. What it takes to list 100,000 files is measured by listing.py.
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
from pathlib import Path

import numpy as np

from wsra.runtime.archive.answering import Ranking, recordings_for
from wsra.runtime.archive.cameras import distinct_names, whole
from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.listing import list_archive
from wsra.runtime.archive.request import Question
from wsra.runtime.archive.session import AnswerRecording, Session, SessionSpec
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.formats.features import Features, write_features

HOUR, QUERY = 3600, "a red car"


def fill(folder: Path, cameras: int, backbone: str, width: int) -> None:
    """Write a day for each camera, in files of an hour."""
    starts = np.arange(HOUR, dtype=np.float64)
    values = np.random.default_rng(0).normal(size=(HOUR, width)).astype(np.float32)
    hour = folder / "hour"
    write_features(hour, Features(values, np.stack([starts, starts + 1], 1), "hour", float(HOUR), backbone))
    os.utime(hour, (0, 0))  # a file that has just been written is not catalogued
    for camera in range(cameras):
        for number in range(24):
            os.link(hour, folder / f"cam{camera}_{datetime(2026, 11, 23) + timedelta(hours=number):%Y%m%d_%H%M%S}.feat")


def steps_here(session: Session, folder: Path, backbone: str, database: Path) -> Iterator[tuple[str, float]]:
    """CPU seconds of each step of one query."""
    for name in ("list, files opened", "list, from the catalogue"):
        begin = time.process_time()
        with Catalogue(database) as catalogue:
            footage = list_archive([folder], backbone, session.grounder.check, catalogue).footage
        yield name, time.process_time() - begin
    begin = time.process_time()
    joined = recordings_for([whole(file) for file in distinct_names(footage)], "maximal")
    yield "join", time.process_time() - begin
    answering, ranking = AnswerRecording(session, HOUR * len(footage), float(len(footage))), Ranking(session.spec.question)
    begin = time.process_time()
    answers = [answering(recording) for recording in joined]
    yield "answer", time.process_time() - begin
    begin = time.process_time()
    for answered in answers:
        ranking.add(answered)
    yield "merge", time.process_time() - begin


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
        files = 24 * given.cameras
        for repeat in range(given.repeats + 1):
            for step, seconds in steps_here(session, folder, manifest.backbone, folder / f".{repeat}.sqlite"):
                taken[step].append(1000 * seconds / files)
    print(f"{files} files of an hour, keys {manifest.key_width} wide; CPU ms per file in the calling process\n")
    print("| step | ms |\n|---|---|")
    for step, ms in taken.items():
        print(f"| {step} | {np.median(ms[1:]):.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
