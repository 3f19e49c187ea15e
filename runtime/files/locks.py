"""Locks on files (flock): the kernel drops them when their process ends, however it ends, and they hold between containers.

On NFS, Linux makes byte-range locks of them, which hold between machines where the server offers these. A file system without locks
(some FUSE mounts of object stores) gives none: then two writers of one target do the work twice and the last one to finish stays, and what
killed writers left is never swept. Nothing is mixed or lost in either case.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsra.runtime.errors import OutputError

logger = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Be the only writer of a file or folder, where two would waste hours. The lock is `.NAME.lock` beside it and is removed in the end.

    Args:
        path: what is written.
        wait: for another writer, after a message; False refuses instead.

    Raises:
        OutputError: another process writes it and `wait` is False, or the place cannot be written.
    """
    lock = _lock_of(path)
    made = not lock.parent.exists()
    held = _acquired(lock, path, wait=wait)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(held)
        if made:
            with suppress(OSError):
                lock.parent.rmdir()  # nothing was written there after all


def sweep_lock(path: Path) -> None:
    """Remove the lock that a killed writer of `path` left, where what it wrote is complete and nobody will write it again."""
    lock = _lock_of(path)
    if lock.exists():
        with lock_is_free(lock) as free:
            if free:
                with suppress(OSError):  # a folder that cannot be written
                    lock.unlink()


def _lock_of(path: Path) -> Path:
    place = path.absolute()  # so that the current folder has a name, too
    if place.name in ("", ".."):
        raise OutputError(f"{path}: not a name that can be written; choose another place")
    return place.with_name(f".{place.name}.lock")


def _acquired(lock: Path, path: Path, *, wait: bool) -> int:
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror}); choose another place") from err
        try:
            if not taken(held):
                if not wait:
                    raise OutputError(f"{path}: another process is writing it; wait until that ends, or choose another place")
                logger.info(f"{path}: another process is writing it; waiting")
                fcntl.flock(held, fcntl.LOCK_EX)
            if is_at(held, lock):  # else its last owner removed it meanwhile
                return held
        except BaseException:
            os.close(held)
            raise
        os.close(held)


def taken(held: int) -> bool:
    """Take the lock of an open file or folder, or find that another process has it; where there are no locks it counts as taken."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(held: int, place: Path) -> bool:
    """Whether an open file or folder still is what stands at a place."""
    try:
        return os.path.samestat(os.fstat(held), os.lstat(place))
    except FileNotFoundError:
        return False


@contextmanager
def lock_is_free(place: Path) -> Iterator[bool]:
    """Whether nobody holds the lock of a file or folder; if so, it is held within the block. False also where there are no locks."""
    held = -1
    try:
        try:
            held = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        if held >= 0:
            os.close(held)
