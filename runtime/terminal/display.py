"""Human-readable output on stdout: Rich without markup, with hidden characters of files, sentences and libraries made visible.

Text is a `str`, alone, in a table or in `Styled`; the console escapes it (`visible`). Only this module and those that draw or show
progress use anything else of Rich; tests/runtime/terminal/test_display.py enforces that.
"""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from wsra.runtime.terminal.console import visible

WIDTH_OF_A_FILE = 160  # columns

__all__ = ["Group", "RenderableType", "Styled", "Table", "clock", "plain_table", "stdout_console"]


def stdout_console() -> Console:
    """The console that prints on stdout; where that is a file or a pipe and $COLUMNS says nothing, it is wide, so that nothing is cut."""
    console = _Plain(markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    return console


def plain_table(**options: Any) -> Table:
    """A table without lines; the options are those of Rich's `Table`."""
    return Table(box=None, pad_edge=False, **options)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.s, rounded to a tenth."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}.{rest % 10}"


class _Plain(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        """Escape every `str`: alone, in a cell or as a heading."""
        return super().render_str(visible(text), **(options | {"markup": False, "emoji": False, "highlight": False}))
