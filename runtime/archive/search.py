"""What `wsra ground` does: features of every input, every query over every recording, one ranked list per query."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wsra.runtime.archive.answering import Answered, Ranking, Result, recordings_for
from wsra.runtime.archive.between import Between, read_between, stretches
from wsra.runtime.archive.cameras import Footage, Stretch, camera_of, distinct_names, whole
from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.inputs import Input, MissingFeatures, inputs_of_all
from wsra.runtime.archive.listing import look_at_all, reason_of
from wsra.runtime.archive.opened import OpenBundle
from wsra.runtime.archive.request import Request
from wsra.runtime.archive.session import AnswerRecording, Extract, Session, SessionSpec
from wsra.runtime.backends.choice import choose, choose_for_pictures
from wsra.runtime.backends.settings import RunInfo, decodes_on_nvidia
from wsra.runtime.device import this_device
from wsra.runtime.errors import DataError, FeatureError, VideoError, WsraError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import default_bundle, open_bundle
from wsra.runtime.formats.presence import Source
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.workers.pool import Pool, open_pool

logger = logging.getLogger(__name__)

_NAMED = 20  # cameras that a message names at most


@dataclass(frozen=True)
class SearchResults:
    """All results, with what made them.

    Attributes:
        ran: how the bundle ran.
        results: one per query.
        left_out: files of folders that could not be used, each with the reason; a warning was printed for each.
        hours: of video that were scored, by which confidences go.
        calibration: what the bundle's confidences were calibrated on.
    """

    ran: RunInfo
    results: list[Result]
    left_out: list[str]
    hours: float
    calibration: Source


class _LeftOut:
    """Files of folders that cannot be used; a file that was named stops everything."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def add(self, path: Path, err: WsraError, *, named: bool) -> None:
        """Say why a file is left out, or raise where it was named."""
        if named:
            raise err
        self.reasons.append(reason_of(path, err))
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
    settings = request.settings
    bundle = open_bundle(default_bundle(request.bundle), trust_unchanged=True)
    with Catalogue() as catalogue:
        inputs = inputs_of_all(request.paths, bundle.manifest.backbone, catalogue)
        answers = len(request.question.queries) * len(inputs)
        route = choose(bundle, this_device(gpu=settings.device), settings, answers=answers)
        if request.ray is not None:
            settings = replace(settings, threads=max(1, settings.threads))
        with OpenBundle(bundle.folder, route, settings) as opened:
            return _search(opened, request, partial(_located, inputs, catalogue), progress, _unheard)


def _unheard(answered: Answered) -> None:
    """Answers of a recording for which nobody waits."""


def search_open(
    opened: OpenBundle,
    request: Request,
    *,
    progress: Progress = unseen,
    listing: Sequence[Footage] | None = None,
    each: Callable[[Answered], None] = _unheard,
    alone: int | None = None,
) -> SearchResults:
    """Answer a request with a bundle that is open already, and stays so.

    Args:
        opened: the bundle; that of the request and its settings are not looked at.
        request: what is asked.
        progress: as for `search`; what it raises ends the search.
        listing: all files of the request where they are known already; None looks at its paths.
        each: called with the answers of each recording as they come. Where a file turns out broken, all recordings are answered again.
        alone: for how many sentences the kernel is chosen; None for those of the request.

    Raises:
        WsraError: as for `search`.
    """
    if listing is not None:
        return _search(opened, request, lambda session, left_out: list(listing), progress, each, alone)
    with Catalogue() as catalogue:
        inputs = inputs_of_all(request.paths, opened.bundle.manifest.backbone, catalogue)
        return _search(opened, request, partial(_located, inputs, catalogue), progress, each, alone)


def _gpus(opened: OpenBundle) -> int:
    """GPUs of a task: one if sentences, pictures or the decoder need it."""
    settings = opened.settings
    of_pictures, _ = choose_for_pictures(opened.bundle, this_device(gpu=settings.device), settings, opened.route)
    return int(decodes_on_nvidia(settings.decoder) or any(route.provider != "cpu" for route in (opened.route, of_pictures)))


def _search(
    opened: OpenBundle,
    request: Request,
    locate: Callable[[Session, _LeftOut], list[Footage | MissingFeatures]],
    progress: Progress,
    each: Callable[[Answered], None],
    alone: int | None = None,
) -> SearchResults:
    question = request.question
    times = _times(request)
    settings = opened.settings
    cpus, gpus = max(1, settings.threads), 0 if request.ray is None else _gpus(opened)  # of a task on a cluster
    left_out = _LeftOut()
    with Session(SessionSpec(opened.folder, opened.route, settings, question, alone), progress, opened=opened) as session:
        grounder = session.grounder
        located = _asked(locate(session, left_out), request)
        with open_pool(request.ray, cpus=cpus, gpus=gpus) as pool:
            if pool.place == "process" and any(isinstance(one, MissingFeatures) for one in located):
                _ = session.backbone
            # Whatever can be refused has been refused by now, before an hour of video is extracted.
            opened.log_how_it_runs()
            notes = [grounder.notes(query) for query in question.queries]
            footage = _footage(located, session, pool, left_out)
            if times:
                _warn_of_unknown_clocks([file for file in footage if file.start is None])
            parts = [part for file in distinct_names(footage) for part in _parts(file, times, left_out)]
            if not parts:
                logger.info("no video is of that time")
            ranking, hours = _ranked(parts, session, pool, left_out, each)
        results = [replace(result, notes=of_query) for result, of_query in zip(ranking.results(), notes, strict=True)]
        return SearchResults(grounder.ran, results, left_out.reasons, hours, opened.bundle.manifest.presence.source)


def _ranked(
    parts: Sequence[Stretch], session: Session, pool: Pool, left_out: _LeftOut, each: Callable[[Answered], None]
) -> tuple[Ranking, float]:
    """The moments of all recordings, and the hours that were scored.

    If a file turns out broken, the rest is asked again without it, for confidences go by the hours.
    """
    hours, rows = sum(part.to_s - part.from_s for part in parts) / 3600, sum(part.last - part.first for part in parts)
    recordings, ranking, broken = recordings_for(parts, session.answerer.plan), Ranking(session.spec.question), set[Stretch]()
    session.expect(rows, hours)
    for done, answered in enumerate(pool.map(AnswerRecording(session, rows, hours), recordings), 1):
        for stretch, err in answered.refused:
            left_out.add(stretch.footage.feat, err, named=stretch.footage.named)
            broken.add(stretch)
        ranking.add(answered)
        each(answered)
        session.progress("recordings", done, len(recordings))
    return _ranked([part for part in parts if part not in broken], session, pool, left_out, each) if broken else (ranking, hours)


def _times(request: Request) -> list[Between]:
    """The times that are asked; all of them must hold."""
    times = []
    if request.between is not None:
        times.append(read_between(*request.between))
    if request.daily is not None:
        times.append(read_between(*request.daily, option="--daily"))
    return times


def _asked(located: Sequence[Footage | MissingFeatures], request: Request) -> list[Footage | MissingFeatures]:
    """The files of the cameras that are asked, and, unless they may be extracted, those that have features.

    Raises:
        DataError: no file is left, or of a camera there is none.
    """
    asked = [one for one in located if request.extract or isinstance(one, Footage)]
    if not asked:
        raise DataError(f"none of {len(located)} videos has features; extract them with wsra extract, or leave out --no-extract")
    if request.cameras is None:
        return asked
    names = {camera_name(one) for one in asked}
    for camera in request.cameras:
        if camera not in names:
            raise DataError(f"--camera {camera}: there is no such camera; expected one of {', '.join(sorted(names)[:_NAMED])}")
    return [one for one in asked if camera_name(one) in request.cameras]


def camera_name(one: Footage | MissingFeatures) -> str:
    """The camera of a file; where its name holds no date, the name of the video."""
    if isinstance(one, Footage):
        return one.camera or one.video
    path, root = one.given.path, one.given.root
    return camera_of([path.stem], path.parent, root) or (path.name if root is None else path.relative_to(root).as_posix())


def _located(inputs: Sequence[Input], catalogue: Catalogue, session: Session, left_out: _LeftOut) -> list[Footage | MissingFeatures]:
    """The inputs that can be used."""
    grounder = session.grounder

    def refuse(given: Input, err: WsraError) -> None:
        left_out.add(given.path, err, named=given.root is None)

    located = look_at_all(inputs, grounder.manifest.backbone, grounder.check, catalogue, refuse, session.progress)
    left_out.refuse_none(located)
    return located


def _footage(located: Sequence[Footage | MissingFeatures], session: Session, pool: Pool, left_out: _LeftOut) -> list[Footage]:
    """The features of all, made where they are missing; where this process makes them, each file shows its own progress."""
    missing = [one for one in located if isinstance(one, MissingFeatures)]
    made: dict[Path, Footage] = {}
    for count, (location, done) in enumerate(zip(missing, pool.map(Extract(session), missing), strict=True), 1):
        if isinstance(done, Footage):
            made[location.given.path] = done
        else:
            left_out.add(location.given.path, done, named=location.given.root is None)
        if pool.place != "process":
            session.progress("videos", count, len(missing))
    everything = (made.get(one.given.path) if isinstance(one, MissingFeatures) else one for one in located)
    footage = [one for one in everything if one is not None]
    left_out.refuse_none(footage)
    return footage


def _parts(footage: Footage, times: Sequence[Between], left_out: _LeftOut) -> list[Stretch]:
    try:
        with one_file(footage.feat, FeatureError):
            return stretches(footage, *times) if times else [whole(footage)]
    except FeatureError as err:
        left_out.add(footage.feat, err, named=footage.named)
        return []


def _warn_of_unknown_clocks(footage: list[Footage]) -> None:
    if footage:
        more = f" and {len(footage) - 1} more" if len(footage) > 1 else ""
        logger.warning(f"no wall clock is known of {footage[0].feat}{more}: left out of --between and --daily")
