"""Writing without losing: a temporary name first, then a rename; what exists is not replaced unasked."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsra.runtime.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it when not.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err}); choose another place with -o") from err
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Stop before work whose result would replace a file.

    Raises:
        OutputError: `path` exists and `overwrite` is not set.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another place with -o or replace it with --overwrite")
