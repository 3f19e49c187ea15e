"""The boundary between a file and the rest of wsra: any exception about a file becomes one line that names the file.

Libraries raise all kinds of exceptions for damaged files: PyAV raises attribute errors and overflows, NumPy memory errors, Python itself
recursion errors. No list of them is ever complete, so a step that works on one file catches them all, here. With `WSRA_DEBUG=1` they pass
unchanged, with their traceback.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from wsra.runtime.errors import WsraError

DEBUG = "WSRA_DEBUG"


def one_file(path: Path | str, error: type[WsraError], *, hint: str = "is the file damaged?") -> OneFile:
    """Turn any exception that a file causes into one line about that file.

    Errors of wsra pass unchanged, because they already name the file, and so do missing libraries, which are not the fault of the file.

    Args:
        path: the file.
        error: the exception to raise instead.
        hint: what to do; the end of the message.

    Returns:
        A context manager; its block raises the given kind of WsraError, chained to the original exception.
    """
    return OneFile(path, error, hint)


class OneFile:
    """The block of `one_file`; a class, because an archive enters it 100,000 times."""

    __slots__ = ("_error", "_hint", "_path")

    def __init__(self, path: Path | str, error: type[WsraError], hint: str) -> None:
        self._path, self._error, self._hint = path, error, hint

    def __enter__(self) -> None:
        """Nothing is opened."""

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        """Raise the error instead of another one."""
        if not isinstance(err, Exception) or isinstance(err, (WsraError, ImportError)) or os.environ.get(DEBUG):
            return
        path = self._path
        if isinstance(err, OSError):  # a recorder that deletes its oldest files, a disk that fails
            reason = err.strerror or err
            raise self._error(f"{path}: cannot be read to its end ({reason}); was it deleted or replaced meanwhile?") from err
        reason = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
        raise self._error(f"{path}: cannot be used ({reason}); {self._hint} {DEBUG}=1 shows where") from err
