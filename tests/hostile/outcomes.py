"""What can become of one attack."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

MESSAGE = 2_000  # letters; a message longer than that is no line that somebody reads


class Kind(str, Enum):
    """How an attack ended; everything after SKIPPED is a failure."""

    OK = "ok"
    REFUSED = "refused"
    SKIPPED = "skipped"
    TRACEBACK = "traceback"
    CRASH = "crash"
    HANG = "hang"
    MEMORY = "memory"
    UNNOTICED = "unnoticed"
    LET_IN = "let in"
    MESSAGE = "message"
    LEFTOVER = "leftover"
    OUTSIDE = "outside"
    LOST = "lost"
    WRONG = "wrong"


MEANING = {
    Kind.OK: "answered, and rightly so",
    Kind.REFUSED: "refused with one line",
    Kind.SKIPPED: "not permitted on that machine",
    Kind.TRACEBACK: "another exception than a WsraError",
    Kind.CRASH: "killed by a signal",
    Kind.HANG: "over 20 s",
    Kind.MEMORY: "over 2 GB",
    Kind.UNNOTICED: "damaged bytes changed the answer and nothing was said",
    Kind.LET_IN: "accepted although it reaches for another file, or runs code",
    Kind.MESSAGE: "a message that is not one short line, or that passes control characters on",
    Kind.LEFTOVER: "a temporary file stayed",
    Kind.OUTSIDE: "something was written outside the named places",
    Kind.LOST: "what stood there before is damaged or gone",
    Kind.WRONG: "another result or exit code than expected",
}
FAILURES = tuple(kind for kind in Kind if kind not in (Kind.OK, Kind.REFUSED, Kind.SKIPPED))


@dataclass(frozen=True)
class Verdict:
    """How one attack ended.

    Attributes:
        kind: in short.
        detail: what was seen; failures of one cause tell the same first words.
        what: what was done to provoke it.
    """

    kind: Kind
    detail: str = ""
    what: str = ""

    @property
    def failed(self) -> bool:
        """Whether something must be mended."""
        return self.kind in FAILURES


def told_of(err: BaseException) -> str:
    """Type and message of an exception, with the last place of wsra in its traceback."""
    frames = [f for f in traceback.extract_tb(err.__traceback__) if "/hostile/" not in f.filename]
    own = [f for f in frames if any(f"/{package}/" in f.filename for package in ("runtime", "calib", "train", "export"))]
    last = (own or frames)[-1:] or []
    place = "".join(f"{Path(f.filename).name}:{f.lineno} {f.name}: " for f in last)
    return f"{place}{type(err).__name__}: {' '.join(str(err).split())[:160]}"


def told(kinds: Counter[Kind]) -> str:
    """Counts in one line, for progress."""
    return ", ".join(f"{count} {kind.value}" for kind, count in sorted(kinds.items(), key=lambda pair: list(Kind).index(pair[0])))
