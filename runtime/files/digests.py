"""What was found of files that have not changed since, by size and time of change, as git's index knows them.

Noted under `$XDG_CACHE_HOME/wsra`, never in the folder itself. To hash a bundle at every start takes as long as to answer over a day
of video, and to hash videos that were copied or restored takes far longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from platformdirs import user_cache_path

from wsra.runtime.errors import OutputError
from wsra.runtime.files.writing import append_line, replacing, sha256_of

_SETTLED_S = 2.0  # a file that changed just now may change again within one tick of its clock
_SPARE = 100  # lines of a note that may be outdated before it is written anew


class Digests:
    """Digests of the files of a folder.

    The note has one line per file, the last one counts; lines are appended, so that processes do not disturb each other.

    Args (constructor):
        folder: the folder.
        trust: believe what was noted of a file whose size and time are unchanged; False reads every byte.
    """

    def __init__(self, folder: Path, *, trust: bool) -> None:
        place = user_cache_path("wsra") / "digests"
        self._folder = folder
        self._note = place / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.lines"
        self._known = _read(self._note) if trust else {}

    def of(self, name: str) -> str:
        """SHA-256 of a file of the folder, noted where the note can be written; elsewhere it is read again next time.

        Raises:
            OSError: it cannot be read.
        """
        found = self.noted(name)
        if found is None:
            found = sha256_of(self._folder / name)
            self.note(name, found)
        return found

    def noted(self, name: str) -> str | None:
        """What was noted of a file in its present state, or None.

        Raises:
            OSError: there is no such file.
        """
        entry = self._known.get(name)
        return str(entry[-1]) if entry is not None and entry[:-1] == _state((self._folder / name).stat()) else None

    def note(self, name: str, digest: str) -> None:
        """Note the digest of a file, unless it changed just now."""
        stat = (self._folder / name).stat()
        if stat.st_mtime > time.time() - _SETTLED_S:
            return
        self._known[name] = [*_state(stat), digest]
        with contextlib.suppress(OutputError):
            append_line(self._note, json.dumps([name, *self._known[name]]))


def _state(stat: os.stat_result) -> list[int | str]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _read(note: Path) -> dict[str, list[int | str]]:
    """What was noted; nothing where the note is missing or damaged."""
    known: dict[str, list[int | str]] = {}
    try:
        lines = note.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return known
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            name, *entry = json.loads(line)
            known[str(name)] = entry
    if len(lines) > 2 * len(known) + _SPARE:
        with contextlib.suppress(OutputError), replacing(note) as part:
            part.write_text("".join(json.dumps([name, *entry]) + "\n" for name, entry in known.items()), encoding="ascii")
    return known
