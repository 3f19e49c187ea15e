"""What is asked of `wsra ground`: which inputs, which sentences, how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.archive.strips import StripWindow
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.errors import QueryError
from wsra.runtime.files.reading import read_text
from wsra.runtime.formats.bundle import SpanPlan


@dataclass(frozen=True)
class Question:
    """Sentences, and which of their moments are wanted.

    Attributes:
        queries: the sentences.
        top_k: moments per query.
        per_video: moments of one video per query, or None for any number.
        plan: of candidate spans, or None for the bundle's.
        false_alarms: per hour that are accepted, above 0, or None for moments of a confidence above 1/2.
        window: the time over which a strip of each recording is wanted, or None.
    """

    queries: tuple[str, ...]
    top_k: int = 5
    per_video: int | None = None
    plan: SpanPlan | None = None
    false_alarms: float | None = None
    window: StripWindow | None = None


@dataclass(frozen=True)
class Request:
    """A question about files.

    Attributes:
        paths: videos, .feat files or folders.
        question: what is asked of them.
        bundle: the bundle, or None for the default.
        settings: how the bundle runs.
        between: two times as `read_between` takes them, or None for all times.
        ray: the cluster that answers it, as `Cluster` takes it, or None for this process.
        daily: two times of day, of every day, or None for all; beside `between` both must hold.
        cameras: names of those that are asked, a video without a camera by its own name; None for all.
        extract: whether videos without features are extracted; False leaves them out.
    """

    paths: Sequence[Path]
    question: Question
    bundle: Path | None = None
    settings: RunSettings = DEFAULT
    between: tuple[str, str] | None = None
    ray: str | None = None
    daily: tuple[str, str] | None = None
    cameras: tuple[str, ...] | None = None
    extract: bool = True


def read_queries(path: Path) -> list[str]:
    """Sentences of a file, one per line; blank lines do not count.

    Raises:
        QueryError: it cannot be read, or holds none.
    """
    text = read_text(path, error=QueryError, hint="expected one query per line")
    queries = [line.strip() for line in text.splitlines() if line.strip()]
    if not queries:
        raise QueryError(f"{path}: holds no query; expected one per line")
    return queries
