"""Anonymous memory of this process, as Linux counts it: what no file backs, so mapped keys and features are not in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

ROLLUP = Path("/proc/self/smaps_rollup")
EVERY_S = 0.01


def anonymous_mb(rollup: Path = ROLLUP) -> float | None:
    """Anonymous memory in 10^6 bytes; None where the system does not tell (others than Linux, and Linux before 4.14).

    Args:
        rollup: of which process.
    """
    try:
        found = re.search(r"^Anonymous:\s+(\d+) kB", rollup.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e6 if found else None


class Memory:
    """What was seen of it; None where the system does not tell.

    Attributes:
        now_mb: when it was last looked at, in 10^6 bytes.
        peak_mb: the most that was seen.
    """

    def __init__(self) -> None:
        self.now_mb: float | None = None
        self.peak_mb: float | None = None

    def look(self) -> None:
        """Look once."""
        self.now_mb = anonymous_mb()
        if self.now_mb is not None:
            self.peak_mb = max(self.now_mb, self.peak_mb or 0.0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look every 10 ms until the block ends, and then once more; shorter peaks are missed."""
        ended = Event()

        def watch() -> None:
            while not ended.wait(EVERY_S):
                self.look()

        thread = Thread(target=watch, name="wsra-memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.look()
