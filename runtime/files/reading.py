"""Reading text files that a user names: regular files only, up to a size limit, and every problem reported in one line.

Annotations, predictions, durations, queries, run files, metrics and all JSON are read here. Refused before a byte is read: a folder, a
pipe, a device or a socket (reading may never end), and a file over the limit. Refused before a value is used: text that is not UTF-8, JSON
nested deeper than any real file, numbers with more digits than a float holds, and halves of surrogate pairs, which cannot be written to a
file or a terminal.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsra.runtime.errors import WsraError

SETTINGS_BYTES = 16 << 20  # settings, manifests, metrics, queries
DATA_BYTES = 256 << 20  # annotations and predictions, by lines
JSON_CHARS = 64 << 20  # of one JSON value, which takes up to 25 bytes of memory per character
DEPTH = 64  # of nested arrays and objects
_DIGITS = 308  # of an integer; a float holds no more
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_bytes(path: Path, *, error: type[WsraError], hint: str, most: int = SETTINGS_BYTES) -> bytes:
    """Read a regular file.

    Args:
        path: the file; links are followed.
        error: the exception to raise.
        hint: what was expected or what to do; the end of the message.
        most: size limit in bytes.

    Raises:
        WsraError: of the given kind; the file is missing, not a regular file, too large or cannot be read.
    """
    try:
        if reason := _irregular(path.stat().st_mode):  # checked before opening, because opening a device may already have an effect
            raise error(f"{path}: cannot be read ({reason}); {hint}")
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if reason := _irregular(os.fstat(handle).st_mode):  # the file was replaced meanwhile
                raise error(f"{path}: cannot be read ({reason}); {hint}")
            content: bytes | None = file.read(most + 1)  # None if there is nothing to read yet, as for the log of the kernel
        if content is None:
            raise error(f"{path}: cannot be read (it holds nothing yet); {hint}")
    except (OSError, ValueError, MemoryError) as err:  # ValueError: a null in the name
        raise error(f"{path}: cannot be read ({getattr(err, 'strerror', None) or err or type(err).__name__}); {hint}") from err
    if len(content) > most:
        raise error(f"{path}: cannot be read (larger than {most >> 20} MiB); {hint}")
    return content


def read_text(path: Path, *, error: type[WsraError], hint: str, most: int = SETTINGS_BYTES) -> str:
    r"""Read a text file: UTF-8, with or without a byte order mark; every line end becomes \n.

    Args:
        path: the file.
        error: the exception to raise.
        hint: what was expected or what to do; the end of the message.
        most: size limit in bytes.

    Raises:
        WsraError: of the given kind; the file cannot be read or is not UTF-8.
    """
    content = read_bytes(path, error=error, hint=hint, most=most)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise error(f"{path}: cannot be read (byte {err.start} is not UTF-8); {hint}") from err
    except MemoryError as err:
        raise error(f"{path}: cannot be read (too large for the memory that is left); {hint}") from err
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_json(path: Path, *, error: type[WsraError], hint: str, most: int = SETTINGS_BYTES) -> Any:
    """Read a file that holds one JSON value.

    Args:
        path: the file.
        error: the exception to raise.
        hint: what was expected or what to do; the end of the message.
        most: size limit in bytes.

    Raises:
        WsraError: of the given kind; the file cannot be read or is not usable JSON.
    """
    return json_value(read_text(path, error=error, hint=hint, most=most), place=str(path), error=error, hint=hint)


def json_value(text: str, *, place: str, line: int | None = None, error: type[WsraError], hint: str) -> Any:
    """Parse one JSON value. NaN and Infinity are accepted, as in Python; whoever uses a number checks it.

    Args:
        text: the JSON.
        place: the file, for the message.
        line: number of the line of the file that `text` is; None if it is the whole file.
        error: the exception to raise.
        hint: what was expected or what to do; the end of the message.

    Raises:
        WsraError: of the given kind; the text is not JSON, too large or too deep, or contains an unusable number or string.
    """
    where = place if line is None else f"{place}, line {line}"
    if len(text) > JSON_CHARS:
        raise error(f"{where}: not readable as JSON (more than {JSON_CHARS >> 20} Mi characters); {hint}")
    try:
        value = json.loads(text, parse_int=_integer)
        if isinstance(value, dict | list) and text.count("[") + text.count("{") > DEPTH:
            _check_depth(value)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as err:
        where = f"{place}, line {err.lineno if line is None else line}"
        raise error(f"{where}: not JSON ({err.msg}); {hint}") from err
    except UnicodeEncodeError as err:
        raise error(f"{where}: not readable as JSON (half a surrogate pair in a string); {hint}") from err
    except RecursionError as err:
        raise error(f"{where}: not readable as JSON (nested more than {DEPTH} deep); {hint}") from err
    except (ValueError, MemoryError) as err:
        raise error(f"{where}: not readable as JSON ({str(err) or 'too large for the memory that is left'}); {hint}") from err
    return value


def lines_of(text: str) -> Iterator[str]:
    r"""The lines of a text, without copying all of it; only \n ends a line, because JSON strings may contain Unicode's other line ends."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _irregular(mode: int) -> str | None:
    """Why a file of this mode cannot be read, or None."""
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, device or socket, not a regular file"


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        children = (child for parent in level for child in (parent.values() if isinstance(parent, dict) else parent))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise RecursionError
