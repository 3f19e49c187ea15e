"""Locks on files (flock). The kernel releases them when their process ends, however it ends, and they work between containers.

On NFS, Linux turns them into byte-range locks, which work between machines if the server supports them. Some file systems have no locks
(FUSE mounts of object stores, for example). There, two writers of one target do the work twice and the last one wins, and temporary files
of killed writers are never removed. No data is mixed or lost in either case.
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
    """Hold the write lock of a file or folder, so that two processes do not waste hours on the same work.

    The lock is the file `.NAME.lock` in the same folder; it is removed at the end.

    Args:
        path: the file or folder to write.
        wait: whether to wait for another writer, after a message.

    Raises:
        OutputError: another process holds the lock and `wait` is False, or the lock cannot be created.
    """
    lock = _lock_of(path)
    is_new_folder = not lock.parent.exists()
    handle = _acquire(lock, path, wait=wait)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)
        if is_new_folder:
            with suppress(OSError):
                lock.parent.rmdir()  # nothing was written there after all


def sweep_lock(path: Path) -> None:
    """Remove the lock file that a killed writer of `path` left; call it when the file is complete and will not be written again."""
    lock = _lock_of(path)
    if lock.exists():
        with lock_is_free(lock) as free:
            if free:
                with suppress(OSError):  # a folder that cannot be written
                    lock.unlink()


def _lock_of(path: Path) -> Path:
    place = path.absolute()  # so that the current folder has a name as well
    if place.name in ("", ".."):
        raise OutputError(f"{path}: not a name that can be written; choose another place")
    return place.with_name(f".{place.name}.lock")


def _acquire(lock: Path, path: Path, *, wait: bool) -> int:
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror}); choose another place") from err
        try:
            if not try_lock(handle):
                if not wait:
                    raise OutputError(f"{path}: another process is writing it; wait until that ends, or choose another place")
                logger.info(f"{path}: another process is writing it; waiting")
                fcntl.flock(handle, fcntl.LOCK_EX)
            if is_at(handle, lock):  # otherwise its last owner has removed it meanwhile
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Lock an open file or folder without waiting.

    Returns:
        False if another process holds the lock. True also on a file system without locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether a path still leads to this open file or folder."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


@contextmanager
def lock_is_free(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock of a file or folder; if so, this holds it within the block.

    False on a file system without locks.
    """
    handle = -1
    try:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        if handle >= 0:
            os.close(handle)
