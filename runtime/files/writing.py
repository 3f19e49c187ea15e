"""Safe writing: to a temporary file first, which is then renamed; existing files are replaced only on request.

The temporary file of `NAME` is `.NAME.RANDOM.part` in the same folder. It is created with O_EXCL, so that no link is followed, and with the
user's umask. Its writer holds a lock on it (see `locks`): the next writer removes what a killed one left, but not what another one is still
writing, even from another container with the same process number.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile

from safetensors import SafetensorError

from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import is_at, lock_is_free, try_lock
from wsra.runtime.terminal.signals import postponed

_LONGEST = 200  # bytes of a name that its temporary name keeps; file systems accept 255
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Provide an empty temporary file; rename it to `path` if the block succeeds, otherwise remove it.

    Write into the given file: another file renamed to its name would not hold the lock.

    Args:
        path: a file, which need not exist yet.
        durable: whether to sync to disk before the rename; for results that are expensive to make again.

    Raises:
        OutputError: `path` cannot be written, or exists and is not a file.
    """
    _refuse_other_kind(path, folder=False)
    with _output_errors(path), _part(path, folder=False) as part:
        yield part
        if durable:
            _sync(part)
        os.replace(part, path)
        if durable:
            _sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Provide an empty temporary folder; it replaces `path` if the block succeeds, otherwise it is removed.

    The folder is synced to disk first. An existing folder is exchanged with the new one in one step, so that `path` always exists, and is
    then removed. If `path` is a link, the folder that it leads to is replaced.

    Raises:
        OutputError: `path` cannot be written, is a file, or lies on a file system that cannot exchange folders. In that case the old folder
            stays, and the new one is kept next to it under the name in the message.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    _refuse_other_kind(path, folder=True)
    with _output_errors(path), _part(path, folder=True) as part:
        yield part
        for folder, _, names in os.walk(part):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        _put_folder(part, path)
        _sync(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append a line to a file in one write, so that lines of several processes do not mix; links are not followed.

    Raises:
        OutputError: the file cannot be written.
    """
    with _output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)


def refuse_existing(path: Path, *, overwrite: bool, folder: bool = False) -> None:
    """Stop before work whose result would replace something.

    Args:
        path: where the result goes.
        overwrite: whether a file may replace a file, and a folder a folder.
        folder: whether the result is a folder.

    Raises:
        OutputError: `path` exists and `overwrite` is not set, or it is a file instead of a folder or vice versa.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another place or replace it with --overwrite")
    _refuse_other_kind(path, folder=folder)


def usable_folder(folder: Path) -> None:
    """Stop before long work whose result could not be written to a folder; leaves no trace and does not create the folder.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with TemporaryFile(dir=existing):
            pass
    except OSError as err:
        raise OutputError(f"{folder}: cannot be written to ({err.strerror}); choose another place") from err


def sha256_of(path: Path, read: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file in hexadecimal; `read` is called with the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            done += len(block)
            if read is not None:
                read(done)
    return digest.hexdigest()


def _refuse_other_kind(path: Path, *, folder: bool) -> None:
    if not path.name or path.name == "..":
        raise OutputError(f"{path}: not a name that can be written; choose another place with -o")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # it does not exist, or cannot be written, which writing reports
    if folder and not stat.S_ISDIR(mode):
        raise OutputError(f"{path}: a file stands there; expected a folder or nothing: choose another place")
    if not folder and not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise OutputError(f"{path}: {kind} stands there; expected a file or nothing: choose another place")


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system while writing into an `OutputError`."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as err:
        if isinstance(err, ValueError) and "null" not in str(err):  # a null in a name; any other ValueError is not about the path
            raise
        reason, what = getattr(err, "strerror", None) or err, str(getattr(err, "filename", None) or path)
        where = "" if path.name in what else f": {what}"
        raise OutputError(f"{path}: cannot be written ({reason}{where}); choose another place") from err


@contextmanager
def _part(path: Path, *, folder: bool) -> Iterator[Path]:
    """A new, locked file or folder under a temporary name of `path`; it is removed at the end if it still exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    short = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    _sweep(path.parent, short)
    created: tuple[Path, int] | None = None
    try:
        with postponed():
            created = _new(path.parent, short, folder=folder)
        yield created[0]
    finally:
        if created is not None:
            with postponed():
                _remove(created[0])
                os.close(created[1])


def _new(parent: Path, short: str, *, folder: bool) -> tuple[Path, int]:
    while True:
        part = parent / f".{short}.{secrets.token_hex(6)}.part"
        if folder:
            part.mkdir()
            handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        else:
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try_lock(handle)
        if is_at(handle, part):  # otherwise another writer removed it before it was locked
            return part, handle
        os.close(handle)


def _sweep(parent: Path, short: str) -> None:
    """Remove what killed writers left under temporary names."""
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(f".{short}.") and entry.name.endswith(".part")]
    for name in names:
        with lock_is_free(parent / name) as free:
            if free:
                _remove(parent / name)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    with contextlib.suppress(OSError):
        place.unlink(missing_ok=True)


def _put_folder(part: Path, path: Path) -> None:
    try:
        part.rename(path)  # works if `path` does not exist or is an empty folder
    except OSError as err:
        if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if exchange(part, path):
            return
        spare = next(name for number in count(1) if not (name := path.with_name(f"{path.name}.{number}")).exists())
        part.rename(spare)
        raise OutputError(
            f"{path}: this file system cannot exchange two folders in one step, so the old folder stays; the new one is complete in"
            f" {spare}: move it there, or use it where it is"
        ) from err


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step (renameat2 of Linux); False if the system or the file system does not support it.

    Raises:
        OSError: these two names cannot be exchanged.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _sync(place: Path) -> None:
    """Sync a file, or the names in a folder, to disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot sync folders
            raise
    finally:
        os.close(handle)
