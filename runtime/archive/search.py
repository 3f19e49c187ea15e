"""What `wsra ground` does: features of every input, every query over every recording, one ranked list per query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.archive.between import Between, read_between, stretches
from wsra.runtime.archive.cameras import Footage, Stretch, footage_of, told_apart
from wsra.runtime.archive.inputs import Input, inputs_of
from wsra.runtime.archive.ranking import Archive, Result
from wsra.runtime.archive.request import Request, paths_and_queries
from wsra.runtime.archive.sources import Source, extract_source, source_of
from wsra.runtime.backbones.registry import BACKBONE_JSON, Backbone, backbone_of
from wsra.runtime.backends.routes import Route, choose, read_record
from wsra.runtime.bundle import Bundle, default_bundle, open_bundle
from wsra.runtime.console import progress, say
from wsra.runtime.devices.device import this_device
from wsra.runtime.errors import FeatureError, OutputError, VideoError, WsraError
from wsra.runtime.extract import told_of
from wsra.runtime.features import read_features
from wsra.runtime.ground import Grounder

_OF_A_FILE = (FeatureError, VideoError, OutputError, OSError)  # what stops one file, not the rest


@dataclass(frozen=True)
class Found:
    """All results, with what made them.

    Attributes:
        grounder: the bundle.
        results: one per query.
        left_out: files of folders that could not be used, each with the reason; they were said.
    """

    grounder: Grounder
    results: list[Result]
    left_out: list[str]


class _LeftOut:
    """Files of folders that cannot be used; a file that was named stops everything."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def add(self, path: Path, err: WsraError | OSError, *, named: bool) -> None:
        """Say why a file is left out, or raise where it was named."""
        if named:
            raise err if isinstance(err, WsraError) else VideoError(told_of(err, path)) from err
        told = told_of(err, path)
        self.reasons.append(told if told.startswith(str(path)) else f"{path}: {told}")
        say(f"WARNING: left out: {self.reasons[-1]}")

    def refuse_none(self, files: Sequence[object]) -> None:
        """Stop where no file is left."""
        if not files:
            raise VideoError(f"none of these files can be used ({len(self.reasons)} left out); what was said of each tells why")


def search(request: Request) -> Found:
    """Answer a request.

    Raises:
        WsraError: an input that was named, a query or the bundle cannot be used, or nothing is left of a folder.
    """
    paths, queries = paths_and_queries(request)
    between = read_between(*request.between) if request.between is not None else None
    bundle = open_bundle(default_bundle(request.bundle), trust_unchanged=True)
    device = this_device()
    route = choose(bundle, device, request.precision, request.provider)
    inputs = {given.path: given for path in paths for given in inputs_of(path, bundle.manifest.backbone)}
    grounder = Grounder.of_route(bundle, route, device, threads=request.threads, allow_fallback=request.allow_fallback, keep_keys=True)
    for query in queries:
        grounder.encoder.token_ids(query)
    left_out = _LeftOut()
    sources = [source for given in inputs.values() if (source := _checked(given, grounder, left_out)) is not None]
    left_out.refuse_none(sources)
    backbone = _backbone(bundle, route, request) if any(source.missing for source in sources) else None
    # Whatever can be refused has been refused by now, before an hour of video is extracted.
    _tell(bundle, request, route, grounder)
    footage = [file for source in sources if (file := _footage(source, grounder, backbone, left_out)) is not None]
    left_out.refuse_none(footage)

    def refused(stretch: Stretch, err: FeatureError | OSError) -> None:
        left_out.add(stretch.footage.feat, err, named=stretch.footage.named)

    archive = Archive(grounder, queries, top_k=request.top_k, per_video=request.per_video, plan=request.plan, refused=refused)
    if between is not None:
        _tell_unknown([file for file in footage if file.start is None])
    joined = archive.recordings([part for file in told_apart(footage) for part in _parts(file, between, left_out)])
    if not joined:
        say("no video is of that time")
    with progress("recordings", len(joined)) as bar:
        for recording in joined:
            archive.add(recording)
            bar.advance(bar.task_ids[0])
    return Found(grounder, archive.results(), left_out.reasons)


def _checked(given: Input, grounder: Grounder, left_out: _LeftOut) -> Source | None:
    try:
        return source_of(given, grounder)
    except _OF_A_FILE as err:
        left_out.add(given.path, err, named=given.root is None)
        return None


def _footage(source: Source, grounder: Grounder, backbone: Backbone | None, left_out: _LeftOut) -> Footage | None:
    """The features of an input, made where they are missing."""
    try:
        if source.missing and backbone is not None:
            extract_source(source, grounder.manifest.snippet_s, backbone)
        elif source.given.root is None and source.given.path != source.feat:
            say(f"features {source.feat}")
        return footage_of(source.feat, read_features(source.feat), root=source.given.root)
    except _OF_A_FILE as err:
        left_out.add(source.given.path, err, named=source.given.root is None)
        return None


def _parts(footage: Footage, between: Between | None, left_out: _LeftOut) -> list[Stretch]:
    try:
        return stretches(footage, between)
    except _OF_A_FILE as err:
        left_out.add(footage.feat, err, named=footage.named)
        return []


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


def _tell_unknown(footage: list[Footage]) -> None:
    if footage:
        more = f" and {len(footage) - 1} more" if len(footage) > 1 else ""
        say(f"WARNING: no wall clock is known of {footage[0].feat}{more}: left out of --between")
