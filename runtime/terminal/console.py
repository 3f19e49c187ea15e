"""Messages and progress on stderr; stdout is for data. Rich is loaded only on a terminal.

The library reports through `logging`, under the name `wsra`, and prints nothing; the command line attaches its handler here.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from wsra.runtime.progress import Progress, unseen

LOGGER = logging.getLogger("wsra")
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<![\u0590-\u1fff\u2600-\u27bf\ufb1d-\ufe0f\ufe70-\ufefc\U00010800-\U0001faff])[\u200c\u200d]"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def print_message(message: str) -> None:
    """Print one message on stderr as one line, with characters that would be invisible shown as escapes. Only the command line does."""
    print(visible(" ".join(message.splitlines())), file=sys.stderr, flush=True)


class _Printing(logging.Handler):
    """Prints records on stderr as it is when each of them comes."""

    indent = ""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = "WARNING: " if record.levelno >= logging.WARNING else ""
            print_message(f"{self.indent}{level}{record.getMessage()}")
        except Exception:
            self.handleError(record)


_HANDLER = _Printing(logging.INFO)


def messages_are_shown() -> bool:
    """Whether this process prints what the library reports."""
    return _HANDLER in LOGGER.handlers


def show_messages() -> None:
    """From now on print what the library reports, from level INFO on: one line per record, warnings after "WARNING: "."""
    LOGGER.addHandler(_HANDLER)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # a library may attach a handler to the root logger, which would print every message again


@contextmanager
def messages_shown() -> Iterator[None]:
    """Within the block, print what the library reports; see `show_messages`."""
    if messages_are_shown():
        yield
        return
    level, propagate = LOGGER.level, LOGGER.propagate
    show_messages()
    try:
        yield
    finally:
        LOGGER.removeHandler(_HANDLER)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


@contextmanager
def messages_indented() -> Iterator[None]:
    """Within the block, what is printed of the library's messages begins with four spaces: they belong to the line above."""
    _HANDLER.indent = "    "
    try:
        yield
    finally:
        _HANDLER.indent = ""


def log_warnings() -> None:
    """From now on warnings of other libraries are log records, too."""
    warnings.showwarning = _log_warning


def _log_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    LOGGER.warning(f"{message} ({category.__name__} of {filename}, line {lineno})")


@contextmanager
def progress_shown() -> Iterator[Progress]:
    """A callback that draws a bar on stderr, where that is a terminal; the bar begins anew for each thing that is counted."""
    if not sys.stderr.isatty():
        yield unseen
        return
    from wsra.runtime.terminal.bar import drawn

    with drawn() as progress:
        yield progress


def visible(text: str) -> str:
    r"""Text from files, sentences and libraries with escapes, so that nothing in it can move the cursor, hide, or reverse the text.

    Control characters, line ends, characters that set the direction of text, and others that Unicode lets a display ignore
    (Default_Ignorable_Code_Point in DerivedCoreProperties.txt) appear as escapes such as `\x1b` or `\u202e`. Two kinds are kept: variation
    selectors, which emoji use, and joiners after letters other than Latin, Greek and Cyrillic, which Persian and the scripts of India need.
    """
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or character.encode("unicode_escape", "backslashreplace").decode("ascii")
