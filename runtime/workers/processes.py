"""Tasks in several processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from wsra.runtime.errors import WsraError
from wsra.runtime.terminal.signals import heed_signals, postponed
from wsra.runtime.terminal.streams import claim_streams
from wsra.runtime.workers.pool import Item, Place, Result, Work
from wsra.runtime.workers.worker import Done, work_on

_CLEAN_S = 5.0  # time for a child to remove what it has begun to write


class Processes:
    """Runs tasks in several processes of this machine, which share its processors.

    What they log is logged in this process once their task is done.

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
            with ProcessPoolExecutor(self._jobs, mp_context=get_context("spawn"), initializer=_begin) as pool:
                try:
                    with postponed(), blocked_in_children(signal.SIGINT):
                        parts = (items[place : place + chunksize] for place in range(0, len(items), chunksize))
                        submitted = deque(pool.submit(_work_on, work, part) for part in parts)
                    while submitted:
                        done = submitted.popleft().result()
                        done.log()
                        yield from done.results
                except BaseException:
                    _end([child for child in active_children() if child not in others])
                    raise
        except BrokenProcessPool as err:
            raise WsraError(
                f"one of the {self._jobs} processes was killed, usually for lack of memory; complete results are kept:"
                " run it again with fewer --jobs"
            ) from err


@contextmanager
def blocked_in_children(number: int) -> Iterator[None]:
    """Block a signal in children that are spawned within the block: Ctrl-C is for this process, which then ends its children.

    A signal that arrives meanwhile is not lost: this process handles it at the end of the block.
    """
    arrived: list[int] = []
    handler = None
    if threading.current_thread() is threading.main_thread():  # another thread, whose mask stays, may take the signal
        handler = signal.signal(number, lambda taken, _: arrived.append(taken))
    resource_tracker.ensure_running()  # started with the first child, it would unblock the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if handler is not None:
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(number)


def _begin() -> None:
    """Prepare a child: it ends when this process ends."""
    claim_streams()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _work_on(work: Work[Item, Result], items: Sequence[Item]) -> Done:
    """Work on some items in a child. SIGTERM ends the child; the pool would treat it as an error of the items and continue."""
    try:
        heed_signals()
        return work_on(work, items)
    except SystemExit as err:
        os._exit(err.code if isinstance(err.code, int) else 1)


def _end(children: Sequence[BaseProcess]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.join(_CLEAN_S)
        child.kill()
