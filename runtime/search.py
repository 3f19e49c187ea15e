"""What `wsra ground` does: features of every input, every query over every video, one ranked list per query."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wsra.runtime.backbone import BACKBONE_JSON, Backbone, backbone_of
from wsra.runtime.bundle import Bundle, SpanPlan, default_bundle, open_bundle
from wsra.runtime.console import progress, say
from wsra.runtime.device import this_device
from wsra.runtime.errors import DataError, OutputError, QueryError, VideoError
from wsra.runtime.extract import extract_features, is_current, refuse_foreign
from wsra.runtime.features import Features, read_features, write_features
from wsra.runtime.ground import Answer, Grounder
from wsra.runtime.moments import Moment
from wsra.runtime.routes import Route, choose, read_record
from wsra.runtime.video import SUFFIXES, Video

Made = TypeVar("Made")


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
    files = {file: path.is_dir() for path in paths for file in _files(path)}  # and whether it is one of a folder
    bundle = open_bundle(default_bundle(request.bundle))
    route, grounder = _open(bundle, request)
    for query in queries:
        grounder.encoder.token_ids(query)
    files = {file: files[file] for file in _each(files, lambda file: _check_readable(file, grounder))}
    backbone = None if all(file.suffix == ".feat" for file in files) else _backbone(bundle, route, request)
    # Whatever can be refused has been refused by now, before an hour of video is extracted.
    _tell(bundle, request, route, grounder)
    videos = _each(files, lambda file: _features(file, grounder, backbone)).values()
    per_video = [grounder.answers(video, queries, top_k=request.top_k, plan=request.plan) for video in videos]
    results = []
    for query, answers in zip(queries, zip(*per_video, strict=True), strict=True):
        moments = sorted((m for answer in answers for m in answer.moments), key=lambda m: -m.score)[: request.top_k]
        results.append(Result(query, moments, list(answers)))
    return Found(grounder, results, [video.duration_s for video in videos])


def _each(files: Mapping[Path, bool], use: Callable[[Path], Made]) -> dict[Path, Made]:
    """What comes of each file; a video of a folder that cannot be decoded is said and left out, for recorders are still writing one.

    Raises:
        WsraError: a file that was named fails, or no file is left.
    """
    made = {}
    for file, in_folder in files.items():
        try:
            made[file] = use(file)
        except VideoError as err:
            if not in_folder:
                raise
            say(f"WARNING: left out: {err}")
    if not made:
        raise VideoError("none of these videos can be decoded")
    return made


def _open(bundle: Bundle, request: Request) -> tuple[Route, Grounder]:
    device = this_device()
    route = choose(bundle, device, request.precision, request.provider)
    return route, Grounder.of_route(bundle, route, device, threads=request.threads, allow_fallback=request.allow_fallback)


def _backbone(bundle: Bundle, route: Route, request: Request) -> Backbone:
    """What makes the features of videos, on the provider of the route where it has that."""
    if route.provider == "engine" and (bundle.folder / BACKBONE_JSON).is_file():
        say("engines are of the text and the scorer; ONNX Runtime runs the encoder of videos on the CPU")
    return backbone_of(
        bundle, precision=route.precision, provider=route.provider, threads=request.threads, allow_fallback=request.allow_fallback
    )


def _tell(bundle: Bundle, request: Request, route: Route, grounder: Grounder) -> None:
    """Say what runs, whether it was verified, and what of it was not asked for."""
    say(f"bundle {bundle.folder} ({grounder.precision}, {grounder.scorer.provider}, {grounder.scorer.device})")
    if route.provider != "cpu" and grounder.scorer.device == "cpu":
        say(f"WARNING: {route.name} cannot be had here; ONNX Runtime runs it on the CPU, as --allow-fallback accepts")
    if route.name not in read_record(bundle, this_device()):
        say(f"{route.name} was not verified on this device; after wsra verify {bundle.folder} auto takes the fastest that passes")


def _split(request: Request) -> tuple[list[Path], list[str]]:
    if request.queries is None:
        if len(request.inputs) < 2:
            raise QueryError(f'got only {request.inputs[0]!r}; expected a video or .feat file and a sentence: wsra ground VIDEO "QUERY"')
        if _is_file(request.inputs[-1]):
            raise QueryError(f'the last argument {request.inputs[-1]!r} is a file; expected a sentence there: wsra ground VIDEO "QUERY"')
        return [Path(name) for name in request.inputs[:-1]], [request.inputs[-1]]
    try:
        lines = [line.strip() for line in request.queries.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as err:
        raise QueryError(f"{request.queries}: cannot be read ({err}); expected one query per line") from err
    queries = [line for line in lines if line]
    if not queries:
        raise QueryError(f"{request.queries}: holds no query; expected one per line")
    return [Path(name) for name in request.inputs], queries


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # no name of a file: too long, or with a null in it
        return False


def _files(path: Path) -> list[Path]:
    """A file itself; of a folder its .feat files, and its videos that have none beside them; no hidden ones."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; expected a video, a .feat file or a folder of them")
        return [path]
    seen = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    feats = [file for file in seen if file.suffix == ".feat"]
    known = {feat.stem for feat in feats}
    videos = [file for file in seen if file.suffix.lower() in SUFFIXES and file.stem not in known]
    if not feats and not videos:
        raise DataError(f"{path}: no .feat file and no video in this folder; extract some with wsra extract VIDEO... -o {path}")
    twice = [video for video in videos if [other.stem for other in videos].count(video.stem) > 1]
    if twice:
        raise DataError(f"{twice[0]} and {twice[1].name}: two videos of one name would share {twice[0].stem}.feat; rename one of them")
    return [*feats, *videos]


def _check_readable(path: Path, grounder: Grounder) -> None:
    """Refuse what cannot be used, quickly and without writing.

    Raises:
        WsraError: the file cannot be read, is of another backbone, or its features could not be kept beside it.
    """
    if path.suffix == ".feat":
        grounder.check(read_features(path))
        return
    with Video(path, height_px=1, frames_per_s=1.0):
        pass
    refuse_foreign(path.with_suffix(".feat"))
    if not path.with_suffix(".feat").exists() and not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"{path.parent}: not writable, so features cannot be kept there; run wsra extract {path} -o DIR and ground the .feat"
        )


def _features(path: Path, grounder: Grounder, backbone: Backbone | None) -> Features:
    if backbone is None or path.suffix == ".feat":
        return read_features(path)
    snippet_s = grounder.manifest.snippet_s
    feat = path.with_suffix(".feat")
    if feat.exists() and is_current(feat, path, backbone=backbone.id(snippet_s)):
        say(f"features {feat}")
        return read_features(feat)
    say(f"extracting {path}; the features are kept in {feat}")
    with progress("seconds", None) as bar:
        features = extract_features(
            path,
            backbone=backbone,
            snippet_s=snippet_s,
            progress=lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total),
        )
    write_features(feat, features)
    return read_features(feat)
