"""What `wsra ground` does: features of every input, every query over every recording, one ranked list per query."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.archive.answering import recordings_for
from wsra.runtime.archive.between import Between, read_between, stretches
from wsra.runtime.archive.cameras import Footage, Stretch, told_apart
from wsra.runtime.archive.inputs import Input, inputs_of_all
from wsra.runtime.archive.ranking import Ranking, Result
from wsra.runtime.archive.request import Request, paths_and_queries
from wsra.runtime.archive.sources import Source
from wsra.runtime.archive.tasks import Answering, Asked, Look, Make, backbone_for, forget, opened, scoring
from wsra.runtime.backends.routes import Route, choose, read_record
from wsra.runtime.device import this_device
from wsra.runtime.errors import FeatureError, VideoError, WsraError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle, default_bundle, open_bundle
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.terminal.console import progress
from wsra.runtime.workers.choose import open_pool
from wsra.runtime.workers.protocol import Pool

logger = logging.getLogger(__name__)

LOOKS = 64  # files that are looked at in one task: each takes less than a millisecond


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

    def add(self, path: Path, err: WsraError, *, named: bool) -> None:
        """Say why a file is left out, or raise where it was named."""
        if named:
            raise err
        told = str(err)
        self.reasons.append(told if told.startswith(str(path)) else f"{path}: {told}")
        logger.warning(f"left out: {self.reasons[-1]}")

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
    route = choose(bundle, this_device(), request.precision, request.provider)
    given = inputs_of_all(paths, bundle.manifest.backbone)
    cpus, gpus = max(1, request.threads), int(route.provider != "cpu")  # of a task on a cluster
    asked = Asked(
        bundle.folder,
        route,
        tuple(queries),
        request.top_k,
        request.per_video,
        request.plan,
        request.threads if request.ray is None else cpus,
        request.allow_fallback,
        request.kernel,
    )
    left_out = _LeftOut()
    try:
        grounder, plan = opened(asked).grounder, opened(asked).plan
        with open_pool(request.ray, cpus=cpus, gpus=gpus) as pool:
            looked = _looked(given, asked, pool, left_out)
            if pool.place == "process" and any(isinstance(one, Source) for one in looked):
                backbone_for(asked)
            # Whatever can be refused has been refused by now, before an hour of video is extracted.
            _tell(bundle, request, route, grounder)
            footage = _footage(looked, asked, pool, left_out)
            if between is not None:
                _tell_unknown([file for file in footage if file.start is None])
            parts = [part for file in told_apart(footage) for part in _parts(file, between, left_out)]
            numbers = sum(part.last - part.first for part in parts) * grounder.scorer.key_width * len(queries)
            joined = recordings_for(parts, plan)
            if not joined:
                logger.info("no video is of that time")
            ranking = Ranking(queries, top_k=request.top_k, per_video=request.per_video)
            with progress("recordings", len(joined)) as bar:
                for answered in pool.map(Answering(asked, numbers), joined):
                    for stretch, err in answered.refused:
                        left_out.add(stretch.footage.feat, err, named=stretch.footage.named)
                    ranking.add(answered)
                    bar.advance(bar.task_ids[0])
        return Found(scoring(asked, numbers).grounder, ranking.results(), left_out.reasons)
    finally:
        forget()


def _looked(given: Sequence[Input], asked: Asked, pool: Pool, left_out: _LeftOut) -> list[Footage | Source]:
    """What can be used of the inputs."""
    looked: list[Footage | Source] = []
    with progress("files", len(given)) as bar:
        for one, found in zip(given, pool.map(Look(asked), given, chunksize=LOOKS), strict=True):
            if isinstance(found, Footage | Source):
                looked.append(found)
            else:
                left_out.add(one.path, found, named=one.root is None)
            bar.advance(bar.task_ids[0])
    left_out.refuse_none(looked)
    return looked


def _footage(looked: Sequence[Footage | Source], asked: Asked, pool: Pool, left_out: _LeftOut) -> list[Footage]:
    """The features of all, made where they are missing; where this process makes them, each file shows its own progress."""
    missing = [one for one in looked if isinstance(one, Source)]
    made: dict[Path, Footage] = {}
    with nullcontext() if pool.place == "process" or not missing else progress("videos", len(missing)) as bar:
        for source, done in zip(missing, pool.map(Make(asked), missing), strict=True):
            if isinstance(done, Footage):
                made[source.given.path] = done
            else:
                left_out.add(source.given.path, done, named=source.given.root is None)
            if bar is not None:
                bar.advance(bar.task_ids[0])
    everything = (made.get(one.given.path) if isinstance(one, Source) else one for one in looked)
    footage = [one for one in everything if one is not None]
    left_out.refuse_none(footage)
    return footage


def _parts(footage: Footage, between: Between | None, left_out: _LeftOut) -> list[Stretch]:
    try:
        with one_file(footage.feat, FeatureError):
            return stretches(footage, between)
    except FeatureError as err:
        left_out.add(footage.feat, err, named=footage.named)
        return []


def _tell(bundle: Bundle, request: Request, route: Route, grounder: Grounder) -> None:
    """Say what runs, whether it was verified, and what of it was not asked for."""
    logger.info(f"bundle {bundle.folder} ({grounder.precision}, {grounder.scorer.provider}, {grounder.scorer.device})")
    if route.provider != "cpu" and grounder.scorer.device == "cpu":
        logger.warning(f"{route.name} cannot be had here; ONNX Runtime runs it on the CPU, as --allow-fallback accepts")
    if route.name not in read_record(bundle, this_device()):
        logger.info(f"{route.name} was not verified on this device; after wsra verify {bundle.folder} auto takes the fastest that passes")


def _tell_unknown(footage: list[Footage]) -> None:
    if footage:
        more = f" and {len(footage) - 1} more" if len(footage) > 1 else ""
        logger.warning(f"no wall clock is known of {footage[0].feat}{more}: left out of --between")
