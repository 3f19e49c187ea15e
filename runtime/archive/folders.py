"""The walk through an archive: each folder with its videos and .feat files, and the state of each of them from a single look at it.

An archive may have 100,000 files, so whatever is the same for all files of a folder is found once, and files are names, not paths.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsra.runtime.files.names import FEAT, VIDEOS
from wsra.runtime.files.tensors import State

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})  # a link that leads nowhere, a file that has just gone


@dataclass(frozen=True)
class Folder:
    """A folder as it was found.

    Attributes:
        path: the folder, below the root as that was given.
        real: its path without links.
        name: the last part of that.
        within: its path from the root, with "/"; empty for the root itself.
        names: everything in it that is no folder, hidden files too.
        files: its videos and .feat files that are not hidden, by name, in order; the state is None where a link leads nowhere.
        error: why a file of it could not be looked at, or None; `files` is empty then.
    """

    path: Path
    real: str
    name: str
    within: str
    names: Collection[str] = field(repr=False)
    files: Mapping[str, State | None] = field(repr=False)
    error: OSError | None = None


def folders(root: Path, unlisted: list[OSError]) -> Iterator[Folder]:
    """A folder and those below it, by name, without hidden ones and links to folders.

    Args:
        root: the folder.
        unlisted: gets the error of each folder that cannot be listed.
    """
    waiting = [os.fspath(root)]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as listed:
                entries = list(listed)
        except OSError as err:
            unlisted.append(err)
            continue
        below, names, wanted = [], set(), []
        for entry in entries:
            name = entry.name
            if _is_folder(entry):
                if not name.startswith(".") and not entry.is_symlink():
                    below.append(name)
                continue
            names.add(name)
            if not name.startswith(".") and (name.endswith(FEAT) or name[name.rfind(".") :].lower() in VIDEOS):
                wanted.append((name, entry))
        path = Path(place)
        states, error = _states(wanted)
        real = path.resolve()
        yield Folder(path, str(real), real.name, within_of(path, root), names, states, error)
        waiting += (f"{place.removesuffix(os.sep)}{os.sep}{name}" for name in sorted(below, reverse=True))


def within_of(folder: Path, root: Path | None) -> str:
    """The path of a folder from another one that holds it, with "/"; empty where both are the same, or there is no other one."""
    within = folder.relative_to(root).as_posix() if root is not None else "."
    return "" if within == "." else within


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _states(entries: list[tuple[str, os.DirEntry[str]]]) -> tuple[dict[str, State | None], OSError | None]:
    """The state of each file, as `state_of` gives it, or why one cannot be looked at; what is neither a file nor a link is left out."""
    states: dict[str, State | None] = {}
    for name, entry in sorted(entries):
        state, is_file = None, False
        try:
            is_file = entry.is_file()
            if is_file:
                stat = entry.stat()
                state = stat.st_size, stat.st_mtime_ns, stat.st_ino
        except OSError as err:
            if err.errno not in _NOT_THERE:
                return {}, err
            is_file = False
        if is_file or entry.is_symlink():
            states[name] = state
    return states, None
