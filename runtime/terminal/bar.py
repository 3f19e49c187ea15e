"""The progress bar of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from wsra.runtime.terminal.console import Bar
from wsra.runtime.terminal.visible import visible


class _Label(ProgressColumn):
    """The label of the task, which may come from a library."""

    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "")


@contextmanager
def shown(label: str, total: float | None) -> Iterator[Bar]:
    """A bar on stderr; see `wsra.runtime.terminal.console.progress`."""
    columns = (
        _Label(),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    stderr = Console(stderr=True, highlight=False, markup=False)
    above = sys.stdout.isatty()  # on a terminal, output appears above the bar; otherwise it must not go to stderr
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal, redirect_stdout=above) as bar:
        bar.add_task(label, total=total)
        yield bar
