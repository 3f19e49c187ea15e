"""Writing without losing: a temporary name first, then a rename; what exists is not replaced unasked.

The temporary name of `NAME` is `.NAME.RANDOM.part` beside it, made with O_EXCL, so no link is followed, and with the user's umask. Its
writer holds a lock on it (see `locks`): what a killed writer left is swept by the next one, what another writer is still filling is not,
also when that one runs in another container with the same process number.
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
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile

from safetensors import SafetensorError

from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import is_at, lock_is_free, taken
from wsra.runtime.terminal.signals import postponed

_LONGEST = 200  # bytes of a name that its temporary name keeps; file systems take 255
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give an empty temporary file beside `path`; rename it to `path` when the block ends well, remove it when not.

    Write into the given file; a file that is renamed onto it would lose its lock.

    Args:
        path: a file, or nothing yet.
        durable: let the disk have everything before the rename, for what cannot be made again cheaply.

    Raises:
        OutputError: the place cannot be written, or something else than a file stands there.
    """
    _refuse_other_kind(path, folder=False)
    with _told(path), _part(path, folder=False) as part:
        yield part
        if durable:
            _sync(part)
        os.replace(part, path)
        if durable:
            _sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; it takes the place of `path` when the block ends well, and is removed when not.

    The disk has everything before that. A folder that stands there is exchanged with the new one in one step, so that there is always one,
    and then removed. Of a link the folder that it names is replaced.

    Raises:
        OutputError: the place cannot be written, a file stands there, or the file system cannot exchange folders: then the old one stays,
            and the new one is kept beside it under the name in the message.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    _refuse_other_kind(path, folder=True)
    with _told(path), _part(path, folder=True) as part:
        yield part
        for folder, _, names in os.walk(part):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        _put_folder(part, path)
        _sync(path.parent)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file in one write, so that those of several processes stay whole; no link is followed.

    Raises:
        OutputError: the place cannot be written.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        try:
            os.write(held, f"{line}\n".encode())
        finally:
            os.close(held)


def refuse_existing(path: Path, *, overwrite: bool, folder: bool = False) -> None:
    """Stop before work whose result would replace something.

    Args:
        path: where the result goes.
        overwrite: a file may replace a file, and a folder a folder.
        folder: the result is a folder.

    Raises:
        OutputError: `path` exists and `overwrite` is not set, or it is of another kind than the result.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another place or replace it with --overwrite")
    _refuse_other_kind(path, folder=folder)


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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refuse_other_kind(path: Path, *, folder: bool) -> None:
    if not path.name or path.name == "..":
        raise OutputError(f"{path}: not a name that can be written; choose another place with -o")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # nothing there, or a place that cannot be written, which writing reports
    if folder and not stat.S_ISDIR(mode):
        raise OutputError(f"{path}: a file stands there; expected a folder or nothing: choose another place")
    if not folder and not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise OutputError(f"{path}: {kind} stands there; expected a file or nothing: choose another place")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system says of a failed write, as an `OutputError`."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as err:
        if isinstance(err, ValueError) and "null" not in str(err):  # a null in a name; another ValueError is not about the place
            raise
        reason, what = getattr(err, "strerror", None) or err, str(getattr(err, "filename", None) or path)
        where = "" if path.name in what else f": {what}"
        raise OutputError(f"{path}: cannot be written ({reason}{where}); choose another place") from err


@contextmanager
def _part(path: Path, *, folder: bool) -> Iterator[Path]:
    """A new, locked file or folder under a temporary name of `path`, removed in the end if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    short = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    _sweep(path.parent, short)
    made: tuple[Path, int] | None = None
    try:
        with postponed():
            made = _new(path.parent, short, folder=folder)
        yield made[0]
    finally:
        if made is not None:
            with postponed():
                _remove(made[0])
                os.close(made[1])


def _new(parent: Path, short: str, *, folder: bool) -> tuple[Path, int]:
    while True:
        part = parent / f".{short}.{secrets.token_hex(6)}.part"
        if folder:
            part.mkdir()
            held = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        else:
            held = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        taken(held)
        if is_at(held, part):  # else another writer swept it before it was locked
            return part, held
        os.close(held)


def _sweep(parent: Path, short: str) -> None:
    """Remove what killed writers left under a temporary name."""
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
        part.rename(path)  # where nothing stands, or an empty folder
    except OSError as err:
        if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if exchange(part, path):
            return
        beside = next(name for number in count(1) if not (name := path.with_name(f"{path.name}.{number}")).exists())
        part.rename(beside)
        raise OutputError(
            f"{path}: this file system cannot exchange two folders in one step, so the old folder stays; the new one is complete in"
            f" {beside}: move it there, or use it where it is"
        ) from err


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step (renameat2 of Linux); False where the system or the file system cannot.

    Raises:
        OSError: it can, but not these two.
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
    """Let the disk have a file, or the names in a folder."""
    held = os.open(place, os.O_RDONLY)
    try:
        os.fsync(held)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that knows no such thing of folders
            raise
    finally:
        os.close(held)
