"""The progress bar of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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

from wsra.runtime.progress import Progress as Report
from wsra.runtime.terminal.console import visible


class _Label(ProgressColumn):
    """The label of the task, which may come from a library."""

    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "")


@contextmanager
def drawn() -> Iterator[Report]:
    """A bar on stderr from the first report on; see `wsra.runtime.terminal.console.progress_shown`."""
    with ExitStack() as held:
        bar: Progress | None = None

        def report(what: str, done: float, total: float | None) -> None:
            nonlocal bar
            if bar is None:
                bar = held.enter_context(_bar())
            if not bar.tasks or bar.tasks[0].description != what:
                for old in bar.task_ids:
                    bar.remove_task(old)
                bar.add_task(what, total=total)
            bar.update(bar.task_ids[0], completed=done, total=total)

        yield report


def _bar() -> Progress:
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
    return Progress(*columns, console=stderr, disable=not stderr.is_terminal, redirect_stdout=above)
