"""What `wsra ground` does: features of every input, every query over every recording, one ranked list per query."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsra.runtime.archive.answering import Ranking, Result, recordings_for
from wsra.runtime.archive.between import Between, read_between, stretches
from wsra.runtime.archive.cameras import Footage, Stretch, distinct_names
from wsra.runtime.archive.inputs import FeatureLocation, Input, inputs_of_all
from wsra.runtime.archive.request import Request
from wsra.runtime.archive.session import AnswerRecording, Extract, Look, Session, SessionSpec
from wsra.runtime.backends.routes import Route, choose, read_record
from wsra.runtime.backends.settings import RunInfo
from wsra.runtime.device import this_device
from wsra.runtime.errors import FeatureError, VideoError, WsraError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle, default_bundle, open_bundle
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.workers.choose import open_pool
from wsra.runtime.workers.protocol import Pool

logger = logging.getLogger(__name__)

LOOKS = 64  # files that are looked at in one task: each takes less than a millisecond


@dataclass(frozen=True)
class SearchResults:
    """All results, with what made them.

    Attributes:
        ran: how the bundle ran.
        results: one per query.
        left_out: files of folders that could not be used, each with the reason; a warning was printed for each.
    """

    ran: RunInfo
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
        message = str(err)
        self.reasons.append(message if message.startswith(str(path)) else f"{path}: {message}")
        logger.warning(f"left out: {self.reasons[-1]}")

    def refuse_none(self, files: Sequence[object]) -> None:
        """Stop where no file is left."""
        if not files:
            raise VideoError(f"none of these files can be used ({len(self.reasons)} left out); what was said of each tells why")


def search(request: Request, *, progress: Progress = unseen) -> SearchResults:
    """Answer a request.

    Args:
        request: what is asked.
        progress: called with what is counted ("files", "seconds" of a video, "videos" or "recordings"), how many are done, and how many
            there are.

    Raises:
        WsraError: an input that was named, a query or the bundle cannot be used, or nothing is left of a folder.
    """
    question, settings = request.question, request.settings
    between = read_between(*request.between) if request.between is not None else None
    bundle = open_bundle(default_bundle(request.bundle), trust_unchanged=True)
    route = choose(bundle, this_device(), settings)
    inputs = inputs_of_all(request.paths, bundle.manifest.backbone)
    cpus, gpus = max(1, settings.threads), int(route.provider != "cpu")  # of a task on a cluster
    if request.ray is not None:
        settings = replace(settings, threads=cpus)
    left_out = _LeftOut()
    with Session(SessionSpec(bundle.folder, route, settings, question), progress) as session:
        grounder, plan = session.grounder, session.answerer.plan
        with open_pool(request.ray, cpus=cpus, gpus=gpus) as pool:
            located = _located(inputs, session, pool, left_out)
            if pool.place == "process" and any(isinstance(one, FeatureLocation) for one in located):
                _ = session.backbone
            # Whatever can be refused has been refused by now, before an hour of video is extracted.
            _say_how_it_runs(bundle, route, grounder)
            footage = _footage(located, session, pool, left_out)
            if between is not None:
                _warn_of_unknown_clocks([file for file in footage if file.start is None])
            parts = [part for file in distinct_names(footage) for part in _parts(file, between, left_out)]
            rows = sum(part.last - part.first for part in parts)
            recordings = recordings_for(parts, plan)
            if not recordings:
                logger.info("no video is of that time")
            session.expect(rows)
            ranking = Ranking(question)
            for done, answered in enumerate(pool.map(AnswerRecording(session, rows), recordings), 1):
                for stretch, err in answered.refused:
                    left_out.add(stretch.footage.feat, err, named=stretch.footage.named)
                ranking.add(answered)
                progress("recordings", done, len(recordings))
        return SearchResults(grounder.ran, ranking.results(), left_out.reasons)


def _located(inputs: Sequence[Input], session: Session, pool: Pool, left_out: _LeftOut) -> list[Footage | FeatureLocation]:
    """The inputs that can be used."""
    located: list[Footage | FeatureLocation] = []
    for done, (given, found) in enumerate(zip(inputs, pool.map(Look(session), inputs, chunksize=LOOKS), strict=True), 1):
        if isinstance(found, Footage | FeatureLocation):
            located.append(found)
        else:
            left_out.add(given.path, found, named=given.root is None)
        session.progress("files", done, len(inputs))
    left_out.refuse_none(located)
    return located


def _footage(located: Sequence[Footage | FeatureLocation], session: Session, pool: Pool, left_out: _LeftOut) -> list[Footage]:
    """The features of all, made where they are missing; where this process makes them, each file shows its own progress."""
    missing = [one for one in located if isinstance(one, FeatureLocation)]
    made: dict[Path, Footage] = {}
    for count, (location, done) in enumerate(zip(missing, pool.map(Extract(session), missing), strict=True), 1):
        if isinstance(done, Footage):
            made[location.given.path] = done
        else:
            left_out.add(location.given.path, done, named=location.given.root is None)
        if pool.place != "process":
            session.progress("videos", count, len(missing))
    everything = (made.get(one.given.path) if isinstance(one, FeatureLocation) else one for one in located)
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


def _say_how_it_runs(bundle: Bundle, route: Route, grounder: Grounder) -> None:
    """Say what runs, whether the CPU stands in for the provider, and whether the route was verified."""
    logger.info(f"bundle {bundle.folder} ({grounder.precision}, {grounder.scorer.provider}, {grounder.scorer.device})")
    if route.provider != "cpu" and grounder.scorer.device == "cpu":
        logger.warning(f"{route.name} cannot be had here; ONNX Runtime runs it on the CPU, as --allow-fallback accepts")
    if route.name not in read_record(bundle, this_device()):
        logger.info(f"{route.name} was not verified on this device; after wsra verify {bundle.folder} auto takes the fastest that passes")


def _warn_of_unknown_clocks(footage: list[Footage]) -> None:
    if footage:
        more = f" and {len(footage) - 1} more" if len(footage) > 1 else ""
        logger.warning(f"no wall clock is known of {footage[0].feat}{more}: left out of --between")
