"""Plant features: python benchmarks/planted/make.py charades-middle uca -o DIR [--data $WSRA_DATA]."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from planter import DIFFICULTIES, LONGER, write_planted
from splits import Splits, lengthened, read_charades, read_uca
from wsra.runtime.terminal.console import print_message
from wsra.train.text import cached_vectors, load_encoder

WRONG = (0.1, 0.3, 1.0)  # shares of captions assigned to wrong videos, for the trials of robustness; 1 is a control


def splits_of(name: str, data: Path) -> Splits:
    """The annotations of a set."""
    if name == "uca":
        return read_uca(data / "uca")
    splits = read_charades(data / "charades_sta")
    if name not in LONGER:
        return splits
    seed = DIFFICULTIES["charades-middle"].seed
    return Splits(*(lengthened(part, LONGER[name], seed=seed) for part in (splits.train, splits.val, splits.test)))


def make(name: str, out: Path, data: Path) -> None:
    """Write one set under `out`, unless it exists.

    Args:
        name: a key of DIFFICULTIES or LONGER.
        out: folder of sets.
        data: folder of third-party annotations.
    """
    if (out / name).exists():
        print_message(f"{out / name}: exists already")
        return
    start = time.monotonic()
    splits = splits_of(name, data)
    sentences = [a.query for split in (splits.train, splits.val, splits.test) for a in split]
    text = cached_vectors(load_encoder("minilm", "mean"), sentences, out / "text-cache")
    write_planted(out / name, splits, text.numpy(), DIFFICULTIES.get(name, DIFFICULTIES["charades-middle"]), wrong=WRONG)
    sizes = {
        part: f"{len(rows)} sentences of {len({a.vid for a in rows})} videos, {sum({a.vid: a.duration_s for a in rows}.values()):.0f} s"
        for part, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    }
    seen = splits.seen()
    print_message(
        f"{name}: {sizes}; {100 * sum(seen) / len(seen):.1f} % of the test sentences occur in training; {time.monotonic() - start:.0f} s"
    )


def main() -> None:
    """Write the requested sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=[*DIFFICULTIES, *LONGER])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("WSRA_DATA"))
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data or set WSRA_DATA to the folder of third-party annotations (charades_sta, uca)")
    torch.set_num_threads(1)
    for name in given.sets:
        make(name, given.out, given.data)


if __name__ == "__main__":
    main()
