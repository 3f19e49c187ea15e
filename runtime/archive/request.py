"""What is asked of `wsra ground`: which inputs, which sentences, how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """

    queries: tuple[str, ...]
    top_k: int = 5
    per_video: int | None = None
    plan: SpanPlan | None = None


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
    """

    paths: Sequence[Path]
    question: Question
    bundle: Path | None = None
    settings: RunSettings = DEFAULT
    between: tuple[str, str] | None = None
    ray: str | None = None


def paths_and_queries(inputs: Sequence[str], queries: Path | None) -> tuple[list[Path], tuple[str, ...]]:
    """Separate the inputs from the sentences.

    Args:
        inputs: of the command line: files and folders, and the query last unless `queries` is given.
        queries: file with one query per line.

    Raises:
        QueryError: there is no sentence, or its file cannot be read.
    """
    if queries is not None:
        return [Path(name) for name in inputs], tuple(read_queries(queries))
    if len(inputs) < 2:
        raise QueryError(f'got only {inputs[0]!r}; expected a video or .feat file and a sentence: wsra ground VIDEO "QUERY"')
    if (kind := _path_kind(inputs[-1])) is not None:
        raise QueryError(f'the last argument {inputs[-1]!r} is a {kind}; expected a sentence there: wsra ground VIDEO "QUERY"')
    return [Path(name) for name in inputs[:-1]], (inputs[-1],)


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


def _path_kind(name: str) -> str | None:
    """What lies at a path that is no sentence; a folder only where its name has a slash, because a folder may be named by a word."""
    try:
        return "file" if Path(name).is_file() else "folder" if "/" in name and Path(name).is_dir() else None
    except (OSError, ValueError):  # no name of a file: too long, or with a null in it
        return None
