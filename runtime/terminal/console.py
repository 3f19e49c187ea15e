"""Messages and progress on stderr; stdout is for data. Rich is loaded only on a terminal."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TextIO

from wsra.runtime.terminal.visible import visible


class Bar(Protocol):
    """A progress bar with one task, `task_ids[0]`; the part of Rich's interface that callers use."""

    @property
    def task_ids(self) -> Sequence[Any]:
        """Ids of its tasks."""

    def advance(self, task_id: Any, advance: float = 1) -> None:
        """Advance by some steps."""

    def update(self, task_id: Any, *, total: float | None = None, completed: float | None = None, description: str | None = None) -> None:
        """Set the position, the total or the label."""

    def reset(self, task_id: Any, *, total: float | None = None, completed: int = 0, description: str | None = None) -> None:
        """Start over."""


class _NoBar:
    """A bar that shows nothing."""

    task_ids = (0,)

    def advance(self, task_id: Any, advance: float = 1) -> None: ...

    def update(
        self, task_id: Any, *, total: float | None = None, completed: float | None = None, description: str | None = None
    ) -> None: ...

    def reset(self, task_id: Any, *, total: float | None = None, completed: int = 0, description: str | None = None) -> None: ...


def say(message: str) -> None:
    """Print one message as one line; what would not be seen of it is made visible."""
    print(visible(" ".join(message.splitlines())), file=sys.stderr, flush=True)


def say_warnings() -> None:
    """From now on warnings of libraries are messages, too."""
    warnings.showwarning = _say_warning


def _say_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    say(f"WARNING: {message} ({category.__name__} of {filename}, line {lineno})")


def progress(label: str, total: float | None) -> AbstractContextManager[Bar]:
    """A progress bar on stderr if that is a terminal; advance its only task, number 0."""
    if not sys.stderr.isatty():
        return _nothing()
    from wsra.runtime.terminal.bar import shown

    return shown(label, total)


@contextmanager
def _nothing() -> Iterator[Bar]:
    yield _NoBar()
