"""What `wsra ground` does: features of every input, every query over every video, one ranked list per query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.bundle import SpanPlan, default_bundle, open_bundle
from wsra.runtime.console import progress, say
from wsra.runtime.errors import DataError, FeatureError, QueryError
from wsra.runtime.extract import backbone_id, extract_features, is_current
from wsra.runtime.features import Features, read_features, write_features
from wsra.runtime.ground import Answer, Grounder
from wsra.runtime.moments import Moment
from wsra.runtime.video import SUFFIXES


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
        threads: of ONNX Runtime.
    """

    inputs: Sequence[str]
    queries: Path | None
    bundle: Path | None
    top_k: int
    plan: SpanPlan | None
    precision: str
    threads: int


@dataclass(frozen=True)
class Result:
    """One query: its moments in all videos, best first, and its answer in each."""

    query: str
    moments: list[Moment]
    answers: list[Answer]


@dataclass(frozen=True)
class Found:
    """All results, with what made them."""

    grounder: Grounder
    results: list[Result]
    durations_s: list[float]


def search(request: Request) -> Found:
    """Answer a request.

    Raises:
        WsraError: an input, a query or the bundle cannot be used.
    """
    paths, queries = _split(request)
    files = [file for path in paths for file in _files(path)]
    folder = default_bundle(request.bundle)
    grounder = Grounder.of_bundle(open_bundle(folder), precision=request.precision, threads=request.threads)
    say(f"bundle {folder} ({grounder.precision}, {grounder.scorer.provider})")
    for query in queries:
        grounder.encoder.token_ids(query)  # a bad query is refused before an hour of video is extracted
    videos = [_features(file, grounder) for file in files]
    per_video = [grounder.answers(video, queries, top_k=request.top_k, plan=request.plan) for video in videos]
    results = []
    for query, answers in zip(queries, zip(*per_video, strict=True), strict=True):
        moments = sorted((m for answer in answers for m in answer.moments), key=lambda m: -m.score)[: request.top_k]
        results.append(Result(query, moments, list(answers)))
    return Found(grounder, results, [video.duration_s for video in videos])


def _split(request: Request) -> tuple[list[Path], list[str]]:
    if request.queries is None:
        if len(request.inputs) < 2:
            raise QueryError(f'got only {request.inputs[0]!r}; expected a video or .feat file and a sentence: wsra ground VIDEO "QUERY"')
        return [Path(name) for name in request.inputs[:-1]], [request.inputs[-1]]
    try:
        lines = [line.strip() for line in request.queries.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as err:
        raise QueryError(f"{request.queries}: cannot be read ({err}); expected one query per line") from err
    queries = [line for line in lines if line]
    if not queries:
        raise QueryError(f"{request.queries}: holds no query; expected one per line")
    return [Path(name) for name in request.inputs], queries


def _files(path: Path) -> list[Path]:
    """A file itself; of a folder its .feat files, and its videos that have none beside them."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; expected a video, a .feat file or a folder of them")
        return [path]
    feats = sorted(path.glob("*.feat"))
    known = {feat.stem for feat in feats}
    videos = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.stem not in known)
    if not feats and not videos:
        raise DataError(f"{path}: no .feat file and no video in this folder; extract some with wsra extract VIDEO... -o {path}")
    return [*feats, *videos]


def _features(path: Path, grounder: Grounder) -> Features:
    if path.suffix == ".feat":
        features = read_features(path)
        grounder.check(features)
        return features
    backbone, snippet_s = grounder.manifest.backbone, grounder.manifest.snippet_s
    if backbone != backbone_id(snippet_s):
        raise FeatureError(f"{path}: the bundle's backbone is {backbone}, which wsra does not carry; give a .feat file made with it")
    feat = path.with_suffix(".feat")
    if feat.exists() and is_current(feat, path, snippet_s=snippet_s):
        say(f"features {feat}")
        return read_features(feat)
    say(f"extracting {path}; the features are kept in {feat}")
    with progress("seconds", None) as bar:
        features = extract_features(
            path,
            snippet_s=snippet_s,
            progress=lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total),
        )
    write_features(feat, features)
    features = read_features(feat)
    grounder.check(features)
    return features
