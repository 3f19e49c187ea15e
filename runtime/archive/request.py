"""What is asked of `wsra ground`: which inputs, which sentences, how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.errors import QueryError
from wsra.runtime.files.reading import read_text
from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.kernels.choose import KernelName


@dataclass(frozen=True)
class Request:
    """What was asked on the command line.

    Attributes:
        inputs: videos, .feat files or folders, and the query last unless `queries` is given.
        queries: file with one query per line.
        bundle: the bundle, or None for the default.
        top_k: moments per query.
        plan: of candidate spans, or None for the bundle's.
        precision: "auto" or one of the bundle's.
        provider: "auto" or one of those that a bundle can run on.
        threads: of ONNX Runtime.
        allow_fallback: run on the CPU where the provider cannot be had.
        between: two times as `read_between` takes them, or None for all times.
        per_video: moments of one video per query, or None for any number.
        kernel: what scores snippets, or "auto".
        ray: the cluster that does it, as `Cluster` takes it, or None for this process.
    """

    inputs: Sequence[str]
    queries: Path | None
    bundle: Path | None
    top_k: int
    plan: SpanPlan | None
    precision: str
    provider: str
    threads: int
    allow_fallback: bool
    between: tuple[str, str] | None = None
    per_video: int | None = None
    kernel: KernelName = "auto"
    ray: str | None = None


def paths_and_queries(request: Request) -> tuple[list[Path], list[str]]:
    """Tell the inputs from the sentences.

    Raises:
        QueryError: there is no sentence, or its file cannot be read.
    """
    if request.queries is None:
        if len(request.inputs) < 2:
            raise QueryError(f'got only {request.inputs[0]!r}; expected a video or .feat file and a sentence: wsra ground VIDEO "QUERY"')
        if (kind := _path_kind(request.inputs[-1])) is not None:
            raise QueryError(f'the last argument {request.inputs[-1]!r} is a {kind}; expected a sentence there: wsra ground VIDEO "QUERY"')
        return [Path(name) for name in request.inputs[:-1]], [request.inputs[-1]]
    return [Path(name) for name in request.inputs], read_queries(request.queries)


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
    """What lies at a path that is no sentence; a folder only where its name has a slash, for a word may be the name of one, too."""
    try:
        return "file" if Path(name).is_file() else "folder" if "/" in name and Path(name).is_dir() else None
    except (OSError, ValueError):  # no name of a file: too long, or with a null in it
        return None
