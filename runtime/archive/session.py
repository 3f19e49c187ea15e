"""The session of `wsra ground`: what it holds open, and its three steps as tasks: look at a file, extract it, answer a recording."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from wsra.runtime.archive.answering import Answered, Answerer
from wsra.runtime.archive.cameras import Footage, Stretches, footage_of
from wsra.runtime.archive.inputs import FeatureLocation, Input, locate_features
from wsra.runtime.archive.request import Question
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import FeatureError, OutputError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle, open_bundle
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.progress import Progress, unseen

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from wsra.runtime.backbones.common.protocol import Backbone

Refusal = FeatureError | VideoError | OutputError  # what stops one file, not the rest
_REFUSALS = (FeatureError, VideoError, OutputError)


@dataclass(frozen=True)
class SessionSpec:
    """What a session opens.

    Attributes:
        bundle: its folder.
        route: the precision and the provider that were chosen.
        settings: how the bundle runs otherwise.
        question: what is asked.
    """

    bundle: Path
    route: Route
    settings: RunSettings
    question: Question


class Session:
    """Owns what answering a question opens: graphs, kernel and, for videos, the backbone. Each is opened when it is first needed.

    A context manager: the end of its block closes everything. To a worker process of a cluster it is sent as its specification. There it
    stays open between tasks, until a task of another session comes or the process ends.

    Args (constructor):
        spec: what it opens.
        progress: of a video that this process extracts; a worker process reports none.
    """

    _of_this_worker: Session | None = None

    def __init__(self, spec: SessionSpec, progress: Progress = unseen) -> None:
        self.spec, self.progress = spec, progress
        self._owned = ExitStack()
        self._rows: int | None = None

    @classmethod
    def of_this_worker(cls, spec: SessionSpec) -> Session:
        """The session of a worker process; one that is open for something else is closed."""
        session = cls._of_this_worker
        if session is None or session.spec != spec:
            if session is not None:
                session.close()
            session = cls._of_this_worker = Session(spec)
        return session

    def __reduce__(self) -> tuple[object, ...]:
        return Session.of_this_worker, (self.spec,)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close everything, also when closing one part fails."""
        self.close()

    def close(self) -> None:
        """As the end of the block."""
        self._owned.close()

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, its files checked.

        Raises:
            BundleError: it cannot be used.
        """
        return open_bundle(self.spec.bundle, trust_unchanged=True)

    @cached_property
    def answerer(self) -> Answerer:
        """What answers recordings.

        Raises:
            ConfigError: the bundle has no score for the spans of the plan.
            QueryError: a sentence is empty or too long.
            BackendError, BundleError, MissingExtraError: as `Grounder.open`.
        """
        grounder = Grounder.of_route(self.bundle, self.spec.route, this_device(), self.spec.settings, keep_keys=True)
        return Answerer(self._owned.enter_context(grounder), self.spec.question)

    @property
    def grounder(self) -> Grounder:
        """The open bundle."""
        return self.answerer.grounder

    @cached_property
    def backbone(self) -> Backbone:
        """What makes the features of videos, on the provider of the route where it has that."""
        from wsra.runtime.archive.videos import open_backbone

        self._owned.callback(self.__dict__.pop, "backbone", None)  # backbones close when nothing refers to them
        return open_backbone(self.bundle, self.spec.route, self.spec.settings)

    def expect(self, rows: int) -> None:
        """Say how many rows of features will be scored, all recordings together."""
        if rows != self._rows:
            self.grounder.scorer.expect(rows, len(self.spec.question.queries))
            self._rows = rows


@dataclass(frozen=True)
class Look:
    """What an input is: its features, or where they must be made first; refuses what cannot be used, quickly and without writing."""

    session: Session

    def __call__(self, given: Input, /) -> Footage | FeatureLocation | Refusal:
        """Do it."""
        grounder = self.session.grounder
        try:
            with one_file(given.path, VideoError):
                location = locate_features(given, grounder)
                if location.missing:
                    return location
                if given.root is None and given.path != location.feat:
                    logger.info(f"features {location.feat}")
                return _footage(location)
        except _REFUSALS as err:
            return err

    def reads(self, given: Input, /) -> Sequence[Path]:
        """The input and the bundle."""
        return given.path, self.session.spec.bundle

    def lost(self, given: Input, why: str, /) -> Refusal:
        """It is left out."""
        return VideoError(f"{given.path}: {why}")


@dataclass(frozen=True)
class Extract:
    """The features of a video that has none."""

    session: Session

    def __call__(self, location: FeatureLocation, /) -> Footage | Refusal:
        """Do it."""
        from wsra.runtime.archive.videos import extract_missing

        snippet_s, backbone = self.session.bundle.manifest.snippet_s, self.session.backbone
        try:
            with one_file(location.given.path, VideoError):
                extract_missing(location, snippet_s, backbone, self.session.progress)
                return _footage(location)
        except _REFUSALS as err:
            return err

    def reads(self, location: FeatureLocation, /) -> Sequence[Path]:
        """The video and the bundle."""
        return location.given.path, self.session.spec.bundle

    def lost(self, location: FeatureLocation, why: str, /) -> Refusal:
        """It is left out."""
        return VideoError(f"{location.given.path}: {why}")


def _footage(location: FeatureLocation) -> Footage:
    return footage_of(location.feat, read_features(location.feat), root=location.given.root)


@dataclass(frozen=True)
class AnswerRecording:
    """The answers of one recording.

    Attributes:
        session: that answers it.
        rows: of all recordings of the question together.
    """

    session: Session
    rows: int

    def __call__(self, recording: Stretches, /) -> Answered:
        """Do it."""
        self.session.expect(self.rows)
        return self.session.answerer.answer(recording)

    def reads(self, recording: Stretches, /) -> Sequence[Path]:
        """Its first file and the bundle; all of them have just been looked at."""
        return recording[0].footage.feat, self.session.spec.bundle

    def lost(self, recording: Stretches, why: str, /) -> Answered:
        """All of it is left out."""
        return Answered(refused=tuple((stretch, FeatureError(f"{stretch.footage.feat}: {why}")) for stretch in recording))
