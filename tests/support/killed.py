"""A run killed at every moment, each time gone on with. Started by tests/train/test_resume.py as a process of its own.

A moment is the end of a step, or the time right before or right after a file gets its name. The process loads everything once and forks
a child for each attempt; with one thread of torch nothing but the forking thread is alive then.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from wsra.train.checkpoint import LAST
from wsra.train.config import Run, read_run
from wsra.train.loop import Trainer
from wsra.train.run import TrainingSets, prepare, train


def attempt(run: Run, out: Path, prepared: TrainingSets, moment: int | None) -> bool:
    """Train in a child that dies at its n-th moment; whether it came to its end."""
    child = os.fork()
    if child == 0:
        if moment is not None:
            die_at(moment)
        train(run, out, prepared, resume=(out / LAST).exists())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        sys.exit(f"{out}: status {status}; expected an end or SIGKILL")
    return True


def die_at(moment: int) -> None:
    passed = itertools.count()

    def tick() -> None:
        if next(passed) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    replace, step = os.replace, Trainer.step

    def ticking_replace(source: Any, target: Any) -> None:
        tick()
        replace(source, target)
        tick()

    def ticking_step(*arguments: Any) -> dict[str, float]:
        figures = step(*arguments)
        tick()
        return figures

    os.replace = ticking_replace  # type: ignore[assignment]
    Trainer.step = ticking_step  # type: ignore[assignment, method-assign]


def main(run_file: Path, folder: Path) -> None:
    """Print how many moments there were; every one must lead to the folder of the undisturbed run."""
    run = read_run(run_file)
    prepared = prepare(run, folder / "cache")
    assert torch.get_num_threads() == 1
    assert attempt(run, folder / "whole", prepared, None)
    whole = {path.name: path.read_bytes() for path in (folder / "whole").iterdir()}
    for moment in itertools.count():
        out = folder / f"killed-{moment}"
        if attempt(run, out, prepared, moment):
            break
        attempt(run, out, prepared, moment % 7)  # and once more, soon after it went on
        attempt(run, out, prepared, None)
        files = {path.name: path.read_bytes() for path in out.iterdir()}
        if files != whole:
            sys.exit(f"killed at moment {moment}: {sorted(n for n in files | whole if files.get(n) != whole.get(n))} differ")
    print(moment)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
