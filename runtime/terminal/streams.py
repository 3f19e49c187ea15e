"""Stdout is for data, stderr for messages; this module handles streams that are closed, full or limited to few characters.

If stdout cannot be written, the command fails with one line on stderr and exit code 1. If nobody reads stdout any more (`| head -1`), it
ends with exit code 141 and no message, as SIGPIPE would do. Messages that cannot be written are dropped, and the command continues.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import Any

from wsra.runtime.errors import OutputError
from wsra.runtime.terminal.console import visible

BROKEN_PIPE = 141  # 128 and the number of SIGPIPE
_DRAWN = "wsra.drawn"  # the error handler of stdout
_ASCII = {"“": '"', "”": '"', "±": "~", "→": ">", "▔": "^", "…": ".", **dict.fromkeys("▁▂▃", "."), **dict.fromkeys("▄▅▆▇█", "#")}


def claim_streams() -> None:
    """Reserve stdout for Python; what is written to file descriptor 1 directly goes to stderr.

    TensorRT's provider in ONNX Runtime reports failures there, in the middle of a command's JSON. A closed standard stream is opened on the
    null device, so that no other file gets its descriptor and, with it, what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)  # the lowest free descriptor; writing to stdout then fails
    if sys.stderr is sys.__stderr__:
        encoding = sys.stderr.encoding if sys.stderr else "utf-8"
        messages = io.BufferedWriter(_Messages(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(messages, encoding, "backslashreplace", line_buffering=True)
    if sys.stdout is sys.__stdout__:
        encoding = sys.stdout.encoding if sys.stdout else "utf-8"
        raw = _Data(os.dup(1), "w", closefd=False)
        os.dup2(2, 1)
        codecs.register_error(_DRAWN, _drawn)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, _DRAWN, line_buffering=raw.isatty())


def print_path(path: Path) -> None:
    """Print the path of a result and flush: byte for byte for programs, with hidden characters escaped on a terminal."""
    print(visible(str(path)) if sys.stdout.isatty() else path, flush=True)


class _Messages(io.FileIO):
    """Stderr that drops what cannot be written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


class _Data(io.FileIO):
    """Stdout that reports the first failed write and drops what comes after."""

    _lost = False

    def write(self, data: Any, /) -> int:
        if self._lost:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError:
            self._lost = True
            raise SystemExit(BROKEN_PIPE) from None
        except OSError as err:
            self._lost = True
            raise OutputError(
                f"stdout: cannot be written ({err.strerror}), so the output of the command is lost; expected an open file, pipe or terminal"
                " with free space: run it again with another stdout"
            ) from err


def _drawn(err: UnicodeError) -> tuple[str | bytes, int]:
    """The replacement for a character that stdout cannot encode: bytes of file names as they are, drawings in ASCII, else an escape."""
    assert isinstance(err, UnicodeEncodeError)
    character = err.object[err.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a name that is not UTF-8
        return bytes([ord(character) - 0xDC00]), err.start + 1
    return _ASCII.get(character) or character.encode("ascii", "backslashreplace").decode(), err.start + 1
