"""The command line of the harness: attacks by the thousand, one case again, the table of what was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from hostile import materials, steps
from hostile.log import Log
from hostile.materials import Materials
from hostile.outcomes import told
from hostile.pool import Pool, Worker
from hostile.readers import READERS

PIECE = 250


def arguments() -> argparse.ArgumentParser:
    """What it takes."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--reader", action="append", choices=sorted(READERS), help="only this reader; may be given several times")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default 0)")
    parser.add_argument("--case", type=int, help="run this one case of --reader and print it")
    parser.add_argument("--cases", type=int, default=0, help="damaged files for each reader; slow readers get their share of it")
    parser.add_argument("--kills", type=int, default=0, help="interruptions, over all writers")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of commands at once, over all pairs")
    parser.add_argument("--full", type=int, default=0, help="writes to a disk that is full, over all writers")
    parser.add_argument("--paths", action="store_true", help="all strange paths and streams")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--keep", type=Path, help="folder for the files of --case")
    parser.add_argument("--work", type=Path, help="folder for materials and the log; a second run with it goes on where the first stopped")
    parser.add_argument("--report", type=Path, help="write the table there, between its two marks")
    return parser


def main() -> int:
    """Run what was asked for; 1 where anything failed."""
    asked = arguments().parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        work = (asked.work or Path(temporary)).resolve()
        made = materials.make(work / "materials")
        if asked.case is not None:
            return _one(asked, made, work)
        log = Log(work / "log.jsonl")
        _damaged(asked, made, work, log)
        _attacked(asked, made, work, log)
        return log.finish(asked.report)


def _one(asked: argparse.Namespace, made: Materials, work: Path) -> int:
    if not asked.reader or len(asked.reader) != 1:
        sys.exit("--case needs one --reader")
    worker = Worker(made.folder, work / "one")
    ((number, verdict),) = worker.run(asked.reader[0], asked.seed, [asked.case], keep=asked.keep and asked.keep.resolve())
    worker.close()
    print(f"{asked.reader[0]} --seed {asked.seed} --case {number}: {verdict.what}\n{verdict.kind.value}: {verdict.detail}")
    return int(verdict.failed)


def _damaged(asked: argparse.Namespace, made: Materials, work: Path, log: Log) -> None:
    """Damaged files, in pieces that a second run leaves out."""
    pieces = []
    for name in asked.reader or READERS:
        count = round(asked.cases * READERS[name].weight)
        pieces += [(name, asked.seed, range(first, min(first + PIECE, count))) for first in range(0, count, PIECE)]
    left = [piece for piece in pieces if not log.has(piece[0], asked.seed, piece[2].start)]
    began, done = time.monotonic(), 0
    with Pool(made.folder, work, asked.jobs) as pool:
        for (name, seed, numbers), verdicts in pool.run(left):
            done += len(verdicts)
            log.add(name, seed, numbers[0], verdicts)
            rate = done / (time.monotonic() - began)
            kinds = Counter(verdict.kind for _, verdict in verdicts)
            print(f"{name} {numbers[0]} to {numbers[-1]}: {told(kinds)}; {rate:.0f} cases/s", file=sys.stderr)


def _attacked(asked: argparse.Namespace, made: Materials, work: Path, log: Log) -> None:
    """Interruptions, pairs, full disks, strange paths and streams; each kind once for a seed."""
    wanted = {"kills": asked.kills, "pairs": asked.pairs, "full": asked.full, "paths": int(asked.paths)}
    wanted = {name: count for name, count in wanted.items() if count and not log.has(name, asked.seed, count)}
    if not wanted:
        return
    with ExitStack() as held:
        bench = steps.Bench(made, work, held, seed=asked.seed)

        def several(names: list[str]) -> Iterator[steps.Found]:
            for name in names:
                yield from bench.attacks(name, wanted[name])
                yield name, wanted[name], []

        first = [name for name in wanted if name == "kills"]
        others = [name for name in wanted if name != "kills"]
        together = [first, others] if asked.jobs > 1 else [first + others]
        for group, number, verdicts in steps.side_by_side([partial(several, names) for names in together]):
            log.add(group, asked.seed, number, verdicts)
            if verdicts:
                print(f"{group}: {told(Counter(verdict.kind for _, verdict in verdicts))}", file=sys.stderr)
