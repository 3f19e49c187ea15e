"""The command line of the harness."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hostile import materials
from hostile.log import Log
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
    parser.add_argument("--cases", type=int, default=0, help="mutations for each reader; slow readers get their share of it")
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
            return _one(asked, made.folder, work)
        log = Log(work / "log.jsonl")
        _cases(asked, made.folder, work, log)
        return log.finish(asked.report)


def _one(asked: argparse.Namespace, made: Path, work: Path) -> int:
    if not asked.reader or len(asked.reader) != 1:
        sys.exit("--case needs one --reader")
    worker = Worker(made, work / "one")
    for number, verdict in worker.run(asked.reader[0], asked.seed, [asked.case], keep=asked.keep and asked.keep.resolve()):
        print(f"{asked.reader[0]} --seed {asked.seed} --case {number}: {verdict.what}\n{verdict.kind.value}: {verdict.detail}")
    worker.close()
    return int(verdict.failed)


def _cases(asked: argparse.Namespace, made: Path, work: Path, log: Log) -> None:
    pieces = []
    for name in asked.reader or READERS:
        count = round(asked.cases * READERS[name].weight)
        pieces += [(name, asked.seed, range(first, min(first + PIECE, count))) for first in range(0, count, PIECE)]
    left = [piece for piece in pieces if not log.has(piece[0], asked.seed, piece[2].start)]
    began, done = time.monotonic(), 0
    with Pool(made, work, asked.jobs) as pool:
        for (name, seed, numbers), verdicts in pool.run(left):
            done += len(verdicts)
            log.add(name, seed, numbers[0], verdicts)
            rate = done / (time.monotonic() - began)
            kinds = Counter(verdict.kind for _, verdict in verdicts)
            print(f"{name} {numbers[0]} to {numbers[-1]}: {told(kinds)}; {rate:.0f} cases/s", file=sys.stderr)
