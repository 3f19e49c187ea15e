"""Writing without losing: a temporary name first, then a rename; what exists is not replaced unasked."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from wsra.runtime.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it when not.

    A folder that stands at `path` is moved aside before and removed after the new one has its name.

    Raises:
        OutputError: the place cannot be written.
    """
    if not path.name:
        raise OutputError(f"{path}: not a name that can be written; choose another place with -o")
    part, aside = (path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield part
        if path.is_dir():
            os.replace(path, aside)
        os.replace(part, path)
        shutil.rmtree(aside, ignore_errors=True)
    except (OSError, SafetensorError) as err:
        reason = getattr(err, "strerror", None) or err
        what = getattr(err, "filename", None) or part
        where = "" if str(what).startswith(str(part)) else f": {what}"
        raise OutputError(f"{path}: cannot be written ({reason}{where}); choose another place") from err
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def usable_folder(folder: Path) -> None:
    """Stop before long work whose result could not be written to a folder; leaves nothing, nor makes the folder.

    Raises:
        OutputError: it cannot be made or written to.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as err:
        raise OutputError(f"{folder}: cannot be written to ({err.strerror}); choose another place") from err


def save_tensors(tensors: Mapping[str, NDArray[Any]], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose bytes depend on its content only; the library orders metadata by chance."""
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path, dict(metadata))
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        file.seek(8)
        file.write(json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode().ljust(size))


def _sweep(path: Path) -> None:
    """Remove what killed processes left under a temporary name of `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        owner = left.name.split(".")[-2]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)


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
        raise OutputError(f"{path}: exists already; choose another place or replace it with --overwrite")
