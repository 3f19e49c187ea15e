"""Opening an archive of very many files: the first start, a later one, and the walk of the same folders as the peer.

    python benchmarks/listing.py [--cameras 200] [--files 500] [--rounds 5] [--folder FOLDER]

Each camera has a folder of hourly .feat files, hard links to one of four rows. The first start opens every file; a later one has the
catalogue. In each round both the peer (`os.walk`, and `os.stat` of every file) and a later start are timed, in turn; figures are medians of
the rounds, the ratio that of both in the same round. Then come the steps of a question that follow: names, and the recordings that are
answered as one; all videos of a camera have one name here, which makes naming slow. With --folder the files are kept there, and are used
again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from wsra.runtime.archive.answering import recordings_for
from wsra.runtime.archive.cameras import Footage, Stretch, distinct_names, whole
from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.listing import Listing, list_archive
from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.features import Features, FeatureSummary, write_features

BACKBONE, WIDTH, HOUR_S = "benchmark@1s", 8, 3600.0
BEGIN = datetime(2026, 11, 1)
EXTRA = {"snippet_s": "1", "source_sha256": "0" * 64, "source_size": "1350000000", "source_mtime_ns": "1700000000000000000"}
T = TypeVar("T")


def fill(archive: Path, cameras: int, files: int) -> None:
    """Write the archive; a folder that is there already is kept."""
    starts = np.arange(4, dtype=np.float64)
    features = Features(np.ones((4, WIDTH), np.float32), np.stack([starts, starts + 1], 1), "hour", HOUR_S, BACKBONE, EXTRA)
    for camera in range(cameras):
        name = f"north-{camera:03}"
        folder = archive / name
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        hour = folder / "hour"
        write_features(hour, features)
        os.utime(hour, (0, 0))  # a file that has just been written is not catalogued
        for number in range(files):
            os.link(hour, folder / f"{name}_{BEGIN + timedelta(hours=number):%Y%m%d_%H%M%S}.feat")
        hour.unlink()


def check(summary: FeatureSummary) -> None:
    """As a bundle's."""
    if summary.backbone != BACKBONE or summary.width != WIDTH:
        raise FeatureError(f"features of {summary.backbone}; expected {BACKBONE}; remove the folder and start again")


def walk(archive: Path) -> int:
    """The peer: look at every file."""
    count = 0
    for folder, _, names in os.walk(archive):
        for name in names:
            os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 (the quickest way)
            count += 1
    return count


def listed(archive: Path, database: Path) -> Listing:
    """A start."""
    with Catalogue(database) as catalogue:
        return list_archive([archive], BACKBONE, check, catalogue)


def wholes(footage: list[Footage]) -> list[Stretch]:
    """All of each file."""
    return [whole(file) for file in footage]


class Times:
    """Wall and CPU seconds of steps."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def take(self, step: str, do: Callable[[], T]) -> T:
        """Do a step."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        done = do()
        self.of[step].append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
        return done

    def ratio(self, step: str, peer: str) -> tuple[float, float]:
        """Median of the ratios of each round, wall and CPU."""
        wall, cpu = np.median(np.divide(self.of[step], self.of[peer]), axis=0)
        return float(wall), float(cpu)


def measure(archive: Path, database: Path, rounds: int) -> Times:
    """Time everything."""
    times = Times()
    first = hash(times.take("first start, every file opened", partial(listed, archive, database)))  # no more of it stays in memory
    for _ in range(rounds):
        files = times.take("peer: os.walk and os.stat", partial(walk, archive))
        again = times.take("later start, from the catalogue", partial(listed, archive, database))
        if hash(again) != first or len(again.footage) != files:
            raise SystemExit(f"{len(again.footage)} of {files} files listed, or not as at first; nothing else may write to {archive}")
        named = times.take("names", partial(distinct_names, again.footage))
        parts = times.take("parts", partial(wholes, named))
        times.take("recordings", partial(recordings_for, parts, "maximal"))
        del again, named, parts
    return times


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        archive = given.folder or Path(place) / "archive"
        fill(archive, given.cameras, given.files)
        times = measure(archive, Path(place) / "catalogue.sqlite", given.rounds)
        size = (Path(place) / "catalogue.sqlite").stat().st_size
    print(f"{given.cameras} cameras of {given.files} files; the catalogue has {size / 1e6:.0f} MB\n")
    print("| step | wall s | CPU s | fastest round: wall s, CPU s |\n|---|---|---|---|")
    for step, taken in times.of.items():
        (wall, cpu), (least_wall, least_cpu) = np.median(taken, axis=0), np.min(taken, axis=0)
        print(f"| {step} | {wall:.2f} | {cpu:.2f} | {least_wall:.2f}, {least_cpu:.2f} |")
    wall, cpu = times.ratio("later start, from the catalogue", "peer: os.walk and os.stat")
    print(f"\na later start takes {wall:.1f} times the wall time and {cpu:.1f} times the CPU time of the peer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
