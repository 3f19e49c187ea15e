"""The one boundary between a file and the rest: whatever is raised about a file becomes one line that names it.

Libraries that read files raise what they like about damaged ones: PyAV attribute errors and overflows, NumPy memory errors, Python itself
recursion errors. No list of kinds is ever complete, so a step that works on one file catches all of them, here. `WSRA_DEBUG=1` lets them
pass as they are, with their traceback.
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
    """Turn what is raised about a file into a line about it.

    Errors of wsra pass as they are, for they name what they are about, and so do missing libraries, which are no fault of the file.

    Args:
        path: the file.
        error: kind of what is raised instead.
        hint: what to do, the end of the message.

    Raises:
        WsraError: of the given kind, from what was raised.
    """
    try:
        yield
    except (WsraError, ImportError):
        raise
    except Exception as err:
        if os.environ.get(DEBUG):
            raise
        if isinstance(err, OSError):  # a recorder that deletes its oldest files, a disk that fails
            why = err.strerror or err
            raise error(f"{path}: cannot be read to its end ({why}); was it deleted or replaced meanwhile?") from err
        told = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
        raise error(f"{path}: cannot be used ({told}); {hint} {DEBUG}=1 shows where") from err
