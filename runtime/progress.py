"""How long work reports its progress: a callback, which the command line draws as a bar."""

from __future__ import annotations

from collections.abc import Callable

# Called with what is counted, such as "videos" or "epoch 3 of 20", how many are done, and how many there are, or None where nobody knows.
Progress = Callable[[str, float, float | None], None]


def unseen(what: str, done: float, total: float | None) -> None:
    """Progress that nobody looks at."""
