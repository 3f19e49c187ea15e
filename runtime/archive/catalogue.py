"""The catalogue: what .feat files say of their videos, kept between starts, so that an archive is listed without opening its files.

It is a SQLite database in the user's cache folder. A file is read again when its size, modification time or inode has changed. The
catalogue holds nothing that the files and their names do not: it may be deleted at any time, and one that is damaged is made anew.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from platformdirs import user_cache_path

from wsra.runtime.archive.entries import QUERY, TABLE, Entry, entries_of, entry_of, row_of
from wsra.runtime.archive.folders import Folder
from wsra.runtime.files.tensors import State, state_of
from wsra.runtime.formats.features import FeatureSummary, read_features
from wsra.runtime.formats.wallclock import RULES

logger = logging.getLogger(__name__)

VERSION = 1000 * 2 + RULES  # of the table, and of the rules by which names are read
_SETTLED_S = 2.0  # a file that has just changed may change again within one tick of the clock
_BUSY_S = 5.0  # how long another process may write


def read_summary(feat: Path) -> FeatureSummary:
    """What a .feat file says of its video, read from the file.

    Raises:
        FeatureError: the file cannot be used.
    """
    return read_features(feat).summary


class Catalogue:
    """The catalogue of the user, opened; a context manager, whose end keeps what was learned.

    Where the database cannot be written, files are read again next time, after a message.

    Args (constructor):
        path: the database; None for `catalogue.sqlite` in the cache folder of wsra.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_cache_path("wsra") / "catalogue.sqlite"
        self._database = _opened(self.path)
        self._folders: dict[str, dict[str, Entry]] = {}
        self._new: dict[tuple[str, str], Entry] = {}
        self._gone: list[tuple[str, str]] = []
        self._real = lru_cache(maxsize=None)(_resolved)

    def summary(self, feat: Path) -> FeatureSummary:
        """What a .feat file says of its video; the file is opened only if it is new or has changed.

        Raises:
            FeatureError: the file cannot be used.
        """
        return self.entry(feat).summary

    def entry(self, feat: Path) -> Entry:
        """All that is known of a .feat file; as `summary`.

        Raises:
            FeatureError: the file cannot be used.
        """
        folder, state = self._real(feat.parent), _state(feat)
        known = self._of(folder).get(feat.name)
        if known is not None and known.state == state:
            return known
        entry = entry_of(feat.name, state, read_summary(feat))
        if state is not None and state == _state(feat) and state[1] < (time.time() - _SETTLED_S) * 1e9:
            self._of(folder)[feat.name] = self._new[folder, feat.name] = entry
        return entry

    def unchanged(self, folder: Folder) -> dict[str, Entry]:
        """What is known of the files of a folder that have not changed since, by name; files that are gone from it are forgotten."""
        known = self._of(folder.real)
        for name in known.keys() - folder.names:
            del known[name]
            self._gone.append((folder.real, name))
        states = folder.files
        return {name: entry for name, entry in known.items() if entry.state == states.get(name)}

    def _of(self, folder: str) -> dict[str, Entry]:
        if folder not in self._folders:
            self._folders[folder] = self._load(folder)
        return self._folders[folder]

    def _load(self, folder: str) -> dict[str, Entry]:
        try:
            return dict(entries_of(self._database.execute(QUERY, (os.fsencode(folder),))))
        except (sqlite3.Error, ValueError, TypeError) as err:
            logger.warning(f"{self.path}: cannot be read ({err}); the files of {folder} are opened instead")
            return {}

    def close(self) -> None:
        """Keep what was learned."""
        gone = [(os.fsencode(folder), os.fsencode(name)) for folder, name in self._gone]
        new = [(os.fsencode(folder), os.fsencode(name), *row_of(entry)) for (folder, name), entry in self._new.items()]
        try:
            if gone or new:
                with self._database:
                    self._database.executemany("DELETE FROM files WHERE folder = ? AND name = ?", gone)
                    self._database.executemany(f"INSERT OR REPLACE INTO files VALUES ({', '.join('?' * 14)})", new)
        except sqlite3.Error as err:
            logger.warning(f"{self.path}: cannot be written ({err}); files are opened again next time")
        finally:
            self._database.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _resolved(folder: Path) -> str:
    return str(folder.resolve())


def _state(feat: Path) -> State | None:
    try:
        return state_of(feat)
    except OSError:
        return None


def _opened(path: Path) -> sqlite3.Connection:
    """The database at a path, made where it is missing, damaged or of another version; in memory where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(path)
        except sqlite3.DatabaseError as err:
            if isinstance(err, sqlite3.OperationalError):  # it cannot be opened, or another process has locked it
                raise
            logger.warning(f"{path}: is damaged ({err}) and is made anew")
            path.unlink()
            return _connected(path)
    except (OSError, sqlite3.Error) as err:
        logger.warning(f"{path}: cannot be used ({err}); files are opened again next time")
        return _connected(None)


def _connected(path: Path | None) -> sqlite3.Connection:
    database = sqlite3.connect(path or ":memory:", timeout=_BUSY_S)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            with database:
                database.execute("BEGIN IMMEDIATE")
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version != VERSION:  # another process may have made it meanwhile
                    database.execute("DROP TABLE IF EXISTS files")
                    database.execute(TABLE)
                    database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        database.close()
        raise
    return database
