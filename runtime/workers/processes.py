"""Tasks on this machine: one after the other in this process, or in several."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from wsra.runtime.errors import WsraError
from wsra.runtime.terminal.console import messages_are_shown, show_messages
from wsra.runtime.terminal.signals import heed_signals, postponed
from wsra.runtime.terminal.streams import claim_streams
from wsra.runtime.workers.protocol import Item, Place, Result, Work

_CLEAN_S = 5.0  # time for a child to remove what it has begun to write


class ThisProcess:
    """Runs one task after the other in this process, each when its result is requested."""

    place: Place = "process"
    threads = 0

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """See `Pool`."""
        return map(work, items)


class Processes:
    """Runs tasks in several processes of this machine, which share its processors.

    Where the command line shows messages, they print theirs; they do not reach the handlers that a Python caller attached in this process.

    Args (constructor):
        jobs: number of processes.
    """

    place: Place = "machine"

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.threads = max(1, (os.cpu_count() or 1) // jobs)

    def map(self, work: Work[Item, Result], items: Sequence[Item], *, chunksize: int = 1) -> Iterator[Result]:
        """See `Pool`. If it is left early, as for a signal, the processes end too, with time to remove unfinished files."""
        others = active_children()
        try:
            context, shown = get_context("spawn"), messages_are_shown()
            with ProcessPoolExecutor(self._jobs, mp_context=context, initializer=_begin, initargs=(shown,)) as pool:
                try:
                    with postponed(), _blocked_in_children(signal.SIGINT):
                        parts = (items[place : place + chunksize] for place in range(0, len(items), chunksize))
                        submitted = deque(pool.submit(_work_on, work, part) for part in parts)
                    while submitted:
                        yield from submitted.popleft().result()
                except BaseException:
                    _end([child for child in active_children() if child not in others])
                    raise
        except BrokenProcessPool as err:
            raise WsraError(
                f"one of the {self._jobs} processes was killed, usually for lack of memory; complete results are kept:"
                " run it again with fewer --jobs"
            ) from err


@contextmanager
def _blocked_in_children(number: int) -> Iterator[None]:
    """Block a signal in children started within the block: Ctrl-C is for this process, which then ends its children."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(shown: bool) -> None:
    """Prepare a child: it prints messages if this process does, and ends when this process ends."""
    claim_streams()
    if shown:
        show_messages()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _work_on(work: Work[Item, Result], items: Sequence[Item]) -> list[Result]:
    """Work on some items in a child. SIGTERM ends the child; the pool would treat it as an error of the items and continue."""
    try:
        heed_signals()
        return [work(item) for item in items]
    except SystemExit as err:
        os._exit(err.code if isinstance(err.code, int) else 1)


def _end(children: Sequence[BaseProcess]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.join(_CLEAN_S)
        child.kill()
