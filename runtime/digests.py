"""Files that were hashed before and have not changed since, by size and time of change, as git's index knows them.

Noted under `$XDG_CACHE_HOME/wsra`, never in the folder itself. To hash a bundle at every start takes as long as to answer over a day
of video, and to hash videos that were copied or restored takes far longer.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from wsra.runtime.errors import OutputError
from wsra.runtime.files import replacing, sha256_of

_SETTLED_S = 2.0  # a file that changed just now may change again within one tick of its clock


class Digests:
    """Digests of the files of a folder.

    Args (constructor):
        folder: the folder.
        trust: believe what was noted of a file whose size and time are unchanged; False reads every byte.
    """

    def __init__(self, folder: Path, *, trust: bool) -> None:
        place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsra" / "digests"
        self._folder = folder
        self._note = place / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}.json"
        self._known = _read(self._note) if trust else {}
        self._found: dict[str, list[int | str]] = {}

    def of(self, name: str) -> str:
        """SHA-256 of a file of the folder.

        Raises:
            OSError: it cannot be read.
        """
        stat = (self._folder / name).stat()
        state: list[int | str] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        noted = self._known.get(name, [])
        digest = str(noted[-1]) if noted[:-1] == state else sha256_of(self._folder / name)
        if stat.st_mtime < time.time() - _SETTLED_S:
            self._found[name] = [*state, digest]
        return digest

    def keep(self) -> None:
        """Note what was read, where that can be written; elsewhere it is read again next time."""
        noted = self._known | self._found
        if noted == self._known:
            return
        try:
            with replacing(self._note) as part:
                part.write_text(json.dumps(noted), encoding="ascii")
        except OutputError:
            return


def _read(note: Path) -> dict[str, list[int | str]]:
    """What was noted; nothing where the note is missing or damaged."""
    try:
        table = json.loads(note.read_text(encoding="ascii"))
        return {str(name): list(entry) for name, entry in table.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
