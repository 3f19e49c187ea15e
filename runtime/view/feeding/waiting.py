"""Which videos wait for their features, kept in a file of the user's cache folder from one page over some folders to the next."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path

from wsra.runtime.archive.inputs import Input
from wsra.runtime.errors import DataError, OutputError
from wsra.runtime.files.reading import DATA_BYTES, read_json
from wsra.runtime.files.writing import replacing

logger = logging.getLogger(__name__)

State = tuple[int, int] | None  # size and time of a file


@dataclass(frozen=True)
class Kept:
    """A video without features.

    Attributes:
        given: the video and the opened folder that holds it.
        reason: why it failed; None of one that waits.
        state: of the file when it failed.
    """

    given: Input
    reason: str | None
    state: State


class Queue:
    """The file. A cache that cannot be written is said once; then nothing is kept.

    Args (constructor):
        roots: the opened folders.
        folder: of the file; None for the user's cache folder.
    """

    def __init__(self, roots: Sequence[Path], folder: Path | None = None) -> None:
        self._roots = {_text(root.resolve()): root for root in roots}
        name = sha256("\0".join(sorted(self._roots)).encode()).hexdigest()[:32]
        self.file = (folder or user_cache_path("wsra") / "waiting") / f"{name}.json"
        self._said = False

    def read(self) -> list[Kept]:
        """What was kept; videos of folders that are not opened now are left out. A damaged file holds nothing."""
        if not self.file.exists():
            return []
        try:
            rows = read_json(self.file, error=DataError, hint="videos that waited for their features are forgotten", most=DATA_BYTES)
            return [self._kept(row) for row in rows if row["root"] in self._roots]
        except (DataError, KeyError, TypeError, ValueError) as err:
            logger.warning(f"{self.file}: not read ({err}); videos that waited for their features must be asked for again")
            return []

    def write(self, kept: Sequence[Kept]) -> None:
        """Keep this instead."""
        rows = [
            {"root": _text(root.resolve()), "path": _text(one.given.path.relative_to(root)), "reason": one.reason, "state": one.state}
            for one in kept
            if (root := one.given.root) is not None
        ]
        try:
            if rows:
                with replacing(self.file) as part:
                    part.write_text(json.dumps(rows), encoding="ascii")
            else:
                self.file.unlink(missing_ok=True)
        except (OutputError, OSError) as err:
            if not self._said:
                logger.warning(f"videos that wait are not kept for the next start: {err}")
            self._said = True

    def _kept(self, row: dict[str, object]) -> Kept:
        state, reason = row["state"], row["reason"]
        size_and_time = (int(state[0]), int(state[1])) if isinstance(state, list) else None
        root = self._roots[str(row["root"])]
        return Kept(Input(root / _path(row["path"]), root), None if reason is None else str(reason), size_and_time)


def _text(path: Path) -> str:
    """The bytes of a path as a text that JSON and a digest can hold, also where they are not UTF-8."""
    return os.fsencode(path).decode("latin-1")


def _path(text: object) -> Path:
    return Path(os.fsdecode(str(text).encode("latin-1")))
