"""The boundary between a file and the rest of wsra: any exception about a file becomes one line that names the file.

Libraries raise all kinds of exceptions for damaged files: PyAV raises attribute errors and overflows, NumPy memory errors, Python itself
recursion errors. No list of them is ever complete, so a step that works on one file catches them all, here. With `WSRA_DEBUG=1` they pass
unchanged, with their traceback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsra.runtime.errors import WsraError

DEBUG = "WSRA_DEBUG"


@contextmanager
def one_file(path: Path | str, error: type[WsraError], *, hint: str = "is the file damaged?") -> Iterator[None]:
    """Turn any exception that a file causes into one line about that file.

    Errors of wsra pass unchanged, because they already name the file, and so do missing libraries, which are not the fault of the file.

    Args:
        path: the file.
        error: the exception to raise instead.
        hint: what to do; the end of the message.

    Raises:
        WsraError: of the given kind, chained to the original exception.
    """
    try:
        yield
    except (WsraError, ImportError):
        raise
    except Exception as err:
        if os.environ.get(DEBUG):
            raise
        if isinstance(err, OSError):  # a recorder that deletes its oldest files, a disk that fails
            reason = err.strerror or err
            raise error(f"{path}: cannot be read to its end ({reason}); was it deleted or replaced meanwhile?") from err
        reason = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
        raise error(f"{path}: cannot be used ({reason}); {hint} {DEBUG}=1 shows where") from err
