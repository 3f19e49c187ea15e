"""An epoch over features larger than the memory that is allowed. Started by tests/train/test_stored.py as a process of its own.

RLIMIT_DATA counts what a process allocates and not the files it maps, and the kernel enforces it. RLIMIT_NOFILE does the same for handles.
"""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import replace
from pathlib import Path

import torch

from wsra.train.config import read_run
from wsra.train.data import load
from wsra.train.loop import fit
from wsra.train.objective import CaptionObjective


def main(run_file: Path, out: Path, allowed_mb: int, whole: bool) -> None:
    """Train one epoch with so much more memory than at the start; `whole` reads all features into memory before."""
    run = read_run(run_file)
    data = load(Path(run.data.captions), Path(run.data.features), seen_as="snippets", cache_mb=run.training.cache_mb)
    val = load(Path(run.data.val_captions), Path(run.data.features), seen_as="snippets", cache_mb=run.training.cache_mb)
    text = [torch.randn(len(each.captions), 8, generator=torch.Generator().manual_seed(0)) for each in (data, val)]
    objective = CaptionObjective(run.loss, run.sampling)
    fit(run, out / "small", (val, text[1]), (val, text[1]), objective=objective)  # loads the libraries' code
    status = Path("/proc/self/status").read_text()
    now = 1024 * int(re.search(r"VmData:\s+(\d+) kB", status)[1])  # type: ignore[index]
    limit = now + allowed_mb * 1_000_000
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    try:
        if whole:
            data = replace(data, values=list(data.values))
        fit(run, out / "large", (data, text[0]), (val, text[1]), objective=objective)
    except (MemoryError, RuntimeError) as err:
        if isinstance(err, RuntimeError) and "allocate memory" not in str(err):
            raise
        sys.exit("out of memory")
    print("trained")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "whole")
