"""Tasks on this machine: one after the other in this process, or in several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from wsra.runtime.errors import WsraError
from wsra.runtime.workers.protocol import Item, Place, Result, Work


class ThisProcess:
    """One task after the other, each when its result is asked for."""

    place: Place = "process"
    threads = 0

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """See `Pool`."""
        return map(work, items)


class Processes:
    """Tasks in processes of this machine, which share its processors.

    Args (constructor):
        jobs: how many.
    """

    place: Place = "machine"

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.threads = max(1, (os.cpu_count() or 1) // jobs)

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """See `Pool`."""
        try:
            with ProcessPoolExecutor(self._jobs, mp_context=get_context("spawn")) as pool:
                yield from pool.map(work, items, chunksize=chunksize)
        except BrokenProcessPool as err:
            raise WsraError(
                f"one of the {self._jobs} processes was killed, most often for memory; what is complete is kept:"
                " run it again with fewer --jobs"
            ) from err
