"""What a worker process does: tasks, and the log records that go back to the caller with their results."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wsra.runtime.terminal.console import LOGGER, log_warnings
from wsra.runtime.workers.pool import Work


@dataclass(frozen=True)
class Done:
    """The results of some items, in their order, and what was logged meanwhile."""

    results: list[Any]
    records: tuple[logging.LogRecord, ...]

    def log(self) -> None:
        """Log the records in this process, at the levels that are enabled here."""
        for record in self.records:
            named = logging.getLogger(record.name)
            if named.isEnabledFor(record.levelno):
                named.handle(record)


def work_on(work: Work[Any, Any], items: Sequence[Any]) -> Done:
    """Work on some items in a worker process."""
    with _recorded() as records:
        results = [work(item) for item in items]
    return Done(results, tuple(records))


@contextmanager
def _recorded() -> Iterator[list[logging.LogRecord]]:
    """What wsra logs in the block, from level INFO on, and warnings of libraries: records that can be pickled, complete after the block."""
    records: list[logging.LogRecord] = []
    logged: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(logged)  # it makes them such that they can be pickled
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            log_warnings()
            yield records
    finally:
        LOGGER.removeHandler(handler)
        while not logged.empty():
            records.append(logged.get())
