"""Entries of the catalogue: what is known of each .feat file, as a row of its table and back."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from wsra.runtime.archive.cameras import Origin, origin_of
from wsra.runtime.files.tensors import State
from wsra.runtime.formats.features import FeatureSummary

TABLE = """
CREATE TABLE files (
    folder BLOB, name BLOB, size INTEGER, mtime_ns INTEGER, inode INTEGER,
    video TEXT, duration_s REAL, backbone TEXT, width INTEGER, rows INTEGER, extra TEXT,
    stem TEXT, start TEXT, clock TEXT,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID
"""
QUERY = """
SELECT name, size, mtime_ns, inode, video, duration_s, backbone, width, rows, extra, json_valid(extra), stem, start, clock
FROM files WHERE folder = ?
"""


class Entry(NamedTuple):
    """What is known of a .feat file, flat: an archive has very many of them.

    Attributes:
        state: of the file when it was read, or None where that is not known.
        video: as the next five, see `FeatureSummary`.
        duration_s: see there.
        backbone: see there.
        width: see there.
        rows: see there.
        extra: see there; as JSON.
        stem: as the next two, see `Origin`.
        start: see there.
        clock: see there.
    """

    state: State | None
    video: str
    duration_s: float
    backbone: str
    width: int
    rows: int
    extra: str
    stem: str | None
    start: datetime | None
    clock: str | None

    @property
    def summary(self) -> FeatureSummary:
        """What the file says of its video."""
        return FeatureSummary(self.video, self.duration_s, self.backbone, self.width, self.rows, _Extra(self.extra))

    @property
    def origin(self) -> Origin:
        """Its camera and its clock."""
        return Origin(self.stem, self.start, self.clock)


def entry_of(name: str, state: State | None, summary: FeatureSummary) -> Entry:
    """An entry of a file that was read.

    Args:
        name: of the file.
        state: of the file.
        summary: what it says of its video.
    """
    said = summary.video, summary.duration_s, summary.backbone, summary.width, summary.rows
    return Entry(state, *said, json.dumps(dict(summary.extra)), *origin_of(name, summary))


def row_of(entry: Entry) -> tuple[object, ...]:
    """An entry as a row of `TABLE`, without folder and name."""
    return (
        *(entry.state or ()),
        *(_cell(entry.video), entry.duration_s, _cell(entry.backbone), entry.width, entry.rows, entry.extra),
        _cell(entry.stem) if entry.stem is not None else None,
        entry.start.isoformat() if entry.start is not None else None,
        entry.clock,
    )


def entries_of(rows: sqlite3.Cursor) -> Iterator[tuple[str, Entry]]:
    """The files of a folder by name.

    Raises:
        sqlite3.Error, ValueError, TypeError: a row is damaged.
    """
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # as os.fsdecode, which is slow for very many
    one_text: dict[str, str] = {}  # of all files that a backbone made
    for name, size, mtime_ns, inode, video, duration_s, backbone, width, count, extra, is_whole, stem, start, clock in rows:
        if not is_whole:
            raise ValueError("a row is damaged")
        state, made_by = (size, mtime_ns, inode), _text(backbone)
        made_by = one_text.setdefault(made_by, made_by)
        camera = _text(stem) if stem is not None else None
        when = datetime.fromisoformat(start) if start is not None else None
        yield name.decode(encoding, errors), Entry(state, _text(video), duration_s, made_by, width, count, extra, camera, when, clock)


class _Extra(Mapping[str, str]):
    """Metadata that few need: read from its JSON when it is first asked for."""

    __slots__ = ("_json", "_table")

    def __init__(self, text: str) -> None:
        self._json = text
        self._table: dict[str, str] | None = None

    def _read(self) -> dict[str, str]:
        if self._table is None:
            self._table = json.loads(self._json)
        return self._table

    def __getitem__(self, key: str) -> str:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def _cell(text: str) -> str | bytes:
    """A text as SQLite keeps it; names need not be text, and are bytes then."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _text(cell: str | bytes) -> str:
    return cell if isinstance(cell, str) else cell.decode("utf-8", "surrogatepass")
