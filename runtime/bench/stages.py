"""The stages of grounding, timed with the objects that `wsra ground` uses, in a temporary folder: nothing next to the user's files changes.

Shapes: T snippets, D feature width, Q queries, H key width.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsra.runtime.archive.videos import open_backbone
from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.bench.asking import Asking, KeyReader
from wsra.runtime.bench.memory import Memory
from wsra.runtime.bench.timed_video import TimedVideo
from wsra.runtime.bench.timing import Run, Times, in_turns, one_stage
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import FeatureError, OutputError
from wsra.runtime.files.names import FEAT
from wsra.runtime.formats.bundle import Bundle, SpanPlan, open_bundle
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.keys import made_by

logger = logging.getLogger(__name__)

QUERY = "a man in a yellow shirt walks past"
GROUP_S = 2.0  # for each group of stages that take turns, where the rounds are not given


@dataclass(frozen=True)
class BenchRequest:
    """What is measured, and how.

    Attributes:
        source: a .feat file or a video.
        queries: sentences, asked together.
        plan: of candidate spans, or None for the bundle's.
        settings: how the bundle runs.
        repeats: rounds, or None for as many as take a few seconds.
        first_s: how much of a video is decoded, in seconds.
        hours: to how long the snippets are repeated, or None.
    """

    source: Path
    queries: Sequence[str] = (QUERY,)
    plan: SpanPlan | None = None
    settings: RunSettings = DEFAULT
    repeats: int | None = None
    first_s: float = 30.0
    hours: float | None = None


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        request: what was asked.
        device: this machine.
        load: processes that wanted a core, mean over the minute before.
        route: that was chosen.
        grounder: what ran.
        film: what was decoded, or None of a .feat file.
        features: what was asked.
        key_width: H.
        times: stage -> times of the rounds; among them "product" and "copy" of `KeyReader`.
        cold_ms: stage -> the first time, which no round counts.
        memory: up to the first answer.
        reading: how the keys were read once.
    """

    request: BenchRequest
    device: Device
    load: float
    route: Route
    grounder: Grounder
    film: TimedVideo | None
    features: Features
    key_width: int
    times: Mapping[str, Times]
    cold_ms: Mapping[str, float]
    memory: Memory
    reading: KeyReader


def measure(folder: Path, request: BenchRequest) -> Measurement:
    """What `wsra bench` does.

    Args:
        folder: of the bundle.
        request: what is measured.

    Raises:
        WsraError: the bundle, the source, a query or the provider cannot be used.
        OutputError: the temporary folder cannot hold the keys.
    """
    load, bundle, device = os.getloadavg()[0], open_bundle(folder), this_device(gpu=request.settings.device)
    route = choose(bundle, device, request.settings)
    if not request.source.is_file():
        raise FeatureError(f"{request.source}: no such file, or a folder; expected a .feat file or a video")
    memory, film = Memory(), None
    cold: dict[str, float] = {}
    groups: list[list[Run]] = []
    grounder = Grounder.of_route(bundle, route, device, request.settings, keep_keys=True)
    if route.provider != "cpu" and grounder.scorer.device == "cpu":
        logger.warning(f"{route.name} cannot be had here; ONNX Runtime runs it on the CPU, as --allow-fallback accepts")
    with grounder, tempfile.TemporaryDirectory(prefix="wsra-bench-") as temporary:
        for query in request.queries:
            grounder.encoder.token_ids(query)
        if request.source.suffix == FEAT:
            features = read_features(request.source)
            grounder.check(features)
        else:
            film = _film(bundle, route, request)
            logger.info(f"decoding and describing the first {request.first_s:g} s of {request.source}")
            groups.append([film.apart, film.together])
            with memory.watching():
                cold |= {**film.apart(), **film.together()}
            features = film.features()
        feat = _placed(features, request.hours, Path(temporary) / f"x{FEAT}")
        features = read_features(feat)
        if len(features) == 0:
            raise FeatureError(f"{request.source}: nothing moves in it, so there is nothing to measure; give a longer or another video")
        logger.info("what is made lies in a temporary folder until the end; nothing beside your files changes")
        grounder.scorer.expect(len(features), len(request.queries))
        with memory.watching():
            keys = grounder.scorer.keys(features)
        if not isinstance(keys, np.memmap):
            raise OutputError(f"{temporary}: cannot hold the keys of {len(features):,} rows; name a larger folder by TMPDIR")
        made = made_by(bundle, route.precision, grounder.scorer.provider)
        loose = replace(features)  # of no file: its keys are computed each time, and stay in memory
        asking = Asking(grounder, feat, request.queries, plan=request.plan, made=made)
        with memory.watching():
            cold |= asking.ask()
        in_memory = one_stage("keys", lambda: grounder.scorer.keys(loose))
        cold |= in_memory()
        reading = KeyReader(keys)
        reading.product(), reading.copied()
        groups += [[in_memory], [asking.ask, reading.product, reading.copied]]
        times: dict[str, Times] = {}
        for group in groups:
            times |= in_turns(group, rounds=request.repeats, at_least_s=GROUP_S)
    return Measurement(
        request=request,
        device=device,
        load=load,
        route=route,
        grounder=grounder,
        film=film,
        features=features,
        key_width=int(keys.shape[1]),
        times=times,
        cold_ms={name: 1000 * seconds for name, seconds in cold.items()},
        memory=memory,
        reading=reading,
    )


def _film(bundle: Bundle, route: Route, request: BenchRequest) -> TimedVideo:
    backbone = open_backbone(bundle, route, request.settings)
    film = TimedVideo(
        request.source, backbone, snippet_s=bundle.manifest.snippet_s, first_s=request.first_s, decoder=request.settings.decoder
    )
    if film.decoder != request.settings.decoder:
        logger.warning(f"{request.source}: {film.decoder}")
    return film


def _placed(features: Features, hours: float | None, feat: Path) -> Path:
    """The features in the temporary folder: a link to their file, or a file of their own where they are in memory or are repeated."""
    if hours is not None:
        features = repeated(features, hours)
    if features.path is not None:
        feat.symlink_to(features.path.resolve())
    else:
        write_features(feat, features)
    return feat


def repeated(features: Features, hours: float) -> Features:
    """The features of a video that shows the same again and again.

    Args:
        features: of a video.
        hours: how long the result lasts: rows of snippets are repeated to the snippet, those of objects in whole videos.
    """
    if features.tracks is not None:
        return _again(features, features.tracks, max(1, round(3600 * hours / features.duration_s)))
    step_s = float(np.median(features.times_s[:, 1] - features.times_s[:, 0]))
    starts = np.arange(max(1, round(3600 * hours / step_s)), dtype=np.float64) * step_s
    values = np.resize(features.values, (len(starts), features.width))
    times_s = np.stack([starts, starts + step_s], axis=1)
    return replace(features, values=values, times_s=times_s, duration_s=float(times_s[-1, 1]))


def _again(features: Features, tracks: Tracks, times: int) -> Features:
    shifts = np.arange(times) * features.duration_s
    numbers = np.arange(times, dtype=np.int32) * np.int32(len(tracks))
    many = Tracks(
        of_row=(numbers[:, None] + tracks.of_row).reshape(-1),
        boxes=np.tile(tracks.boxes, (times, 1)),
        lives_s=(shifts[:, None, None] + tracks.lives_s).reshape(-1, 2),
        continues=np.full(times * len(tracks), -1, np.int32),
        view_of=(numbers[:, None] + tracks.view_of).reshape(-1),
        views_s=(shifts[:, None] + tracks.views_s).reshape(-1),
        view_boxes=np.tile(tracks.view_boxes, (times, 1)),
    )
    times_s = (shifts[:, None, None] + features.times_s).reshape(-1, 2)
    order = np.argsort(times_s[:, 0], kind="stable")  # a row may reach a little beyond its video
    many = replace(many, of_row=many.of_row[order], boxes=many.boxes[order])
    values = np.tile(features.values, (times, 1))[order]
    return replace(features, values=values, times_s=times_s[order], duration_s=float(times * features.duration_s), tracks=many)
