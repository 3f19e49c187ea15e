"""The catalogue: what .feat files say of their videos, kept between starts, so that an archive is listed without opening its files.

It is a SQLite database in the user's cache folder. A file is read again when its size, modification time or inode has changed. The
catalogue holds nothing that the files do not: it may be deleted at any time, and one that is damaged is made anew.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from platformdirs import user_cache_path

from wsra.runtime.files.tensors import State, state_of
from wsra.runtime.formats.features import FeatureSummary, read_features

logger = logging.getLogger(__name__)

VERSION = 1
_SETTLED_S = 2.0  # a file that has just changed may change again within one tick of the clock
_BUSY_S = 5.0  # how long another process may write
_TABLE = """
CREATE TABLE files (
    folder BLOB, name BLOB, size INTEGER, mtime_ns INTEGER, inode INTEGER,
    video TEXT, duration_s REAL, backbone TEXT, width INTEGER, rows INTEGER, extra TEXT,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID
"""

Entry = tuple[State, FeatureSummary]


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
        self._folders: dict[Path, dict[str, Entry]] = {}
        self._new: dict[tuple[Path, str], Entry] = {}
        self._gone: list[tuple[Path, str]] = []
        self._real = lru_cache(maxsize=None)(Path.resolve)

    def summary(self, feat: Path) -> FeatureSummary:
        """What a .feat file says of its video; the file is opened only if it is new or has changed.

        Raises:
            FeatureError: the file cannot be used.
        """
        folder, state = self._real(feat.parent), _state(feat)
        known = self._of(folder).get(feat.name)
        if known is not None and known[0] == state:
            return known[1]
        summary = read_summary(feat)
        if state is not None and state == _state(feat) and state[1] < (time.time() - _SETTLED_S) * 1e9:
            self._of(folder)[feat.name] = self._new[folder, feat.name] = (state, summary)
        return summary

    def listed(self, folder: Path, names: Collection[str]) -> None:
        """Forget the files of a folder that are no longer in it.

        Args:
            folder: the folder.
            names: names of all files that it holds now.
        """
        place = self._real(folder)
        known = self._of(place)
        for name in known.keys() - set(names):
            del known[name]
            self._gone.append((place, name))

    def _of(self, folder: Path) -> dict[str, Entry]:
        if folder not in self._folders:
            self._folders[folder] = self._load(folder)
        return self._folders[folder]

    def _load(self, folder: Path) -> dict[str, Entry]:
        try:
            rows = self._database.execute(
                "SELECT name, size, mtime_ns, inode, video, duration_s, backbone, width, rows, extra FROM files WHERE folder = ?",
                (os.fsencode(folder),),
            ).fetchall()
            return {os.fsdecode(name): ((size, mtime, inode), _summary(*said)) for name, size, mtime, inode, *said in rows}
        except (sqlite3.Error, ValueError, TypeError) as err:
            logger.warning(f"{self.path}: cannot be read ({err}); the files of {folder} are opened instead")
            return {}

    def close(self) -> None:
        """Keep what was learned."""
        gone = [(os.fsencode(folder), os.fsencode(name)) for folder, name in self._gone]
        new = [(os.fsencode(folder), os.fsencode(name), *state, *_row(summary)) for (folder, name), (state, summary) in self._new.items()]
        try:
            if gone or new:
                with self._database:
                    self._database.executemany("DELETE FROM files WHERE folder = ? AND name = ?", gone)
                    self._database.executemany(f"INSERT OR REPLACE INTO files VALUES ({', '.join('?' * 11)})", new)
        except sqlite3.Error as err:
            logger.warning(f"{self.path}: cannot be written ({err}); files are opened again next time")
        finally:
            self._database.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _state(feat: Path) -> State | None:
    try:
        return state_of(feat)
    except OSError:
        return None


def _row(summary: FeatureSummary) -> tuple[object, ...]:
    extra = json.dumps(dict(summary.extra))
    return summary.video, summary.duration_s, summary.backbone, summary.width, summary.rows, extra


def _summary(video: str, duration_s: float, backbone: str, width: int, rows: int, extra: str) -> FeatureSummary:
    return FeatureSummary(video, duration_s, backbone, width, rows, json.loads(extra))


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
                    database.execute(_TABLE)
                    database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        database.close()
        raise
    return database
