"""A cache of SHA-256 digests of files whose size, modification time and inode have not changed, like git's index.

The cache lies in the user's cache folder, never in the folder of the files. Hashing a bundle at every start takes as long as answering a
query over a day of video, and hashing videos that were copied or restored takes far longer.
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

_SETTLED_S = 2.0  # a file that has just changed may change again within one tick of the clock
_SPARE = 100  # outdated lines that the cache may have before it is rewritten


class Digests:
    """Cached digests of the files in a folder.

    The cache has one line per file, of which the last counts; lines are appended, so that processes do not disturb each other.

    Args (constructor):
        folder: the folder.
        trust: use the cached digest of a file whose size and time are unchanged; False reads every byte.
    """

    def __init__(self, folder: Path, *, trust: bool) -> None:
        place = user_cache_path("wsra") / "digests"
        self._folder = folder
        self._cache = place / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.lines"
        self._known = _read(self._cache) if trust else {}

    def of(self, name: str) -> str:
        """SHA-256 of a file in the folder; it is cached if the cache can be written.

        Raises:
            OSError: the file cannot be read.
        """
        digest = self.cached(name)
        if digest is None:
            digest = sha256_of(self._folder / name)
            self.store(name, digest)
        return digest

    def cached(self, name: str) -> str | None:
        """The cached digest of a file that has not changed since, or None.

        Raises:
            OSError: the file does not exist.
        """
        entry = self._known.get(name)
        return str(entry[-1]) if entry is not None and entry[:-1] == _state((self._folder / name).stat()) else None

    def store(self, name: str, digest: str) -> None:
        """Cache the digest of a file, unless the file has just changed."""
        stat = (self._folder / name).stat()
        if stat.st_mtime > time.time() - _SETTLED_S:
            return
        self._known[name] = [*_state(stat), digest]
        with contextlib.suppress(OutputError):
            append_line(self._cache, json.dumps([name, *self._known[name]]))


def _state(stat: os.stat_result) -> list[int | str]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _read(cache: Path) -> dict[str, list[int | str]]:
    """The cached lines by file name; empty if the cache is missing or damaged."""
    known: dict[str, list[int | str]] = {}
    try:
        lines = cache.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return known
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            name, *entry = json.loads(line)
            known[str(name)] = entry
    if len(lines) > 2 * len(known) + _SPARE:
        with contextlib.suppress(OutputError), replacing(cache) as part:
            part.write_text("".join(json.dumps([name, *entry]) + "\n" for name, entry in known.items()), encoding="ascii")
    return known
