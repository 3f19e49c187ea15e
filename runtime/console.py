"""Messages and progress on stderr; stdout is for data. Rich is loaded where somebody sees it: on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Bar(Protocol):
    """A progress bar of one task, number `task_ids[0]`; what callers use of Rich's."""

    @property
    def task_ids(self) -> Sequence[Any]:
        """Numbers of its tasks."""

    def advance(self, task_id: Any, advance: float = 1) -> None:
        """Go on by some steps."""

    def update(self, task_id: Any, *, total: float | None = None, completed: float | None = None, description: str | None = None) -> None:
        """Tell where it is."""

    def reset(self, task_id: Any, *, total: float | None = None, completed: int = 0, description: str | None = None) -> None:
        """Begin anew."""


class _NoBar:
    """Shows nothing."""

    task_ids = (0,)

    def advance(self, task_id: Any, advance: float = 1) -> None: ...

    def update(
        self, task_id: Any, *, total: float | None = None, completed: float | None = None, description: str | None = None
    ) -> None: ...

    def reset(self, task_id: Any, *, total: float | None = None, completed: int = 0, description: str | None = None) -> None: ...


def say(message: str) -> None:
    """Print one message."""
    print(message, file=sys.stderr, flush=True)


def progress(label: str, total: float | None) -> AbstractContextManager[Bar]:
    """A progress bar on stderr, where that is a terminal; advance its only task, number 0."""
    if not sys.stderr.isatty():
        return _nothing()
    from wsra.runtime.bar import shown

    return shown(label, total)


@contextmanager
def _nothing() -> Iterator[Bar]:
    yield _NoBar()
