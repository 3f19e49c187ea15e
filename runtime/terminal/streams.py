"""Stdout is for data, stderr for messages; what becomes of a command whose streams are closed, full or of a small character set.

Stdout that cannot be written is an error, of one line on stderr and exit code 1. Stdout that nobody reads any more (`| head -1`) ends the
command with exit code 141 and no word, as SIGPIPE would. Messages that cannot be written are lost, and the command goes on without them.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import Any

from wsra.runtime.errors import OutputError
from wsra.runtime.terminal.visible import visible

BROKEN_PIPE = 141  # 128 and the number of SIGPIPE
_DRAWN = "wsra.drawn"  # the error handler of stdout
_ASCII = {"“": '"', "”": '"', "±": "~", "→": ">", "▔": "^", "…": ".", **dict.fromkeys("▁▂▃", "."), **dict.fromkeys("▄▅▆▇█", "#")}


def claim_streams() -> None:
    """From now on only Python prints on stdout; what is written to file descriptor 1 itself goes to stderr.

    TensorRT's provider in ONNX Runtime reports its failures there, in the midst of a program's JSON. A standard stream that is closed is
    opened on the null device, so that no file of the command gets its number and what libraries print there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)  # the lowest number that is free; stdout refuses to be written
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
    """Print where a result lies, at once: byte for byte for programs, with everything visible on a terminal."""
    print(visible(str(path)) if sys.stdout.isatty() else path, flush=True)


class _Messages(io.FileIO):
    """Stderr: what cannot be written is lost."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


class _Data(io.FileIO):
    """Stdout: what cannot be written is said once; what comes after is lost."""

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
                f"stdout: cannot be written ({err.strerror}), so what the command prints is lost; expected an open file, pipe or terminal"
                " with room: run it again with stdout going to one"
            ) from err


def _drawn(err: UnicodeError) -> tuple[str | bytes, int]:
    """What stands on stdout for characters that its encoding lacks: bytes of file names as they are, drawings in ASCII, else escapes."""
    assert isinstance(err, UnicodeEncodeError)
    character = err.object[err.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a name that is not UTF-8
        return bytes([ord(character) - 0xDC00]), err.start + 1
    return _ASCII.get(character) or character.encode("ascii", "backslashreplace").decode(), err.start + 1
