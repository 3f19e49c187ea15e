"""The session of a question, and its two steps as tasks: extract a video, answer a recording."""

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
from wsra.runtime.archive.catalogue import read_summary
from wsra.runtime.archive.inputs import MissingFeatures
from wsra.runtime.archive.opened import OpenBundle
from wsra.runtime.archive.request import Question
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.errors import FeatureError, OutputError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle
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
        alone: for how many sentences the kernel is chosen; None for those of the question.
    """

    bundle: Path
    route: Route
    settings: RunSettings
    question: Question
    alone: int | None = None


class Session:
    """Answers one question with an open bundle.

    A context manager: the end of its block closes what the session opened itself. To a worker process of a cluster it is sent as its
    specification. There it stays open between tasks, until a task of another session comes or the process ends.

    Args (constructor):
        spec: what it answers, and with what.
        progress: of a video that this process extracts; a worker process reports none.
        opened: the bundle, where it is open already; it stays open after the session.
    """

    _of_this_worker: Session | None = None

    def __init__(self, spec: SessionSpec, progress: Progress = unseen, *, opened: OpenBundle | None = None) -> None:
        self.spec, self.progress = spec, progress
        self._owned = ExitStack()
        self._opened = opened or self._owned.enter_context(OpenBundle(spec.bundle, spec.route, spec.settings))
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

    @property
    def bundle(self) -> Bundle:
        """See `OpenBundle.bundle`."""
        return self._opened.bundle

    @cached_property
    def answerer(self) -> Answerer:
        """What answers recordings.

        Raises:
            ConfigError: the bundle has no score for the spans of the plan.
            QueryError: a sentence is empty or too long.
            BackendError, BundleError, MissingExtraError: as `Grounder.open`.
        """
        return Answerer(self._opened.grounder, self.spec.question)

    @property
    def grounder(self) -> Grounder:
        """The open bundle."""
        return self.answerer.grounder

    @property
    def backbone(self) -> Backbone:
        """See `OpenBundle.backbone`."""
        return self._opened.backbone

    def expect(self, rows: int, hours: float) -> None:
        """Say how many rows of features will be scored, and how many hours of video are asked, all recordings together."""
        self.answerer.hours = hours
        if rows != self._rows:
            self.grounder.scorer.expect(rows, self.spec.alone or len(self.spec.question.queries))
            self._rows = rows


@dataclass(frozen=True)
class Extract:
    """The features of a video that has none."""

    session: Session

    def __call__(self, location: MissingFeatures, /) -> Footage | Refusal:
        """Do it."""
        from wsra.runtime.archive.videos import extract_missing

        session, snippet_s, decoder = self.session, self.session.bundle.manifest.snippet_s, self.session.spec.settings.decoder
        try:
            with one_file(location.given.path, VideoError):
                extract_missing(location, snippet_s, session.backbone, decoder, session.progress)
                given = location.given
                return footage_of(location.feat, read_summary(location.feat), root=given.root, file=given.path)
        except _REFUSALS as err:
            return err

    def reads(self, location: MissingFeatures, /) -> Sequence[Path]:
        """The video and the bundle."""
        return location.given.path, self.session.spec.bundle

    def lost(self, location: MissingFeatures, why: str, /) -> Refusal:
        """It is left out."""
        return VideoError(f"{location.given.path}: {why}")


@dataclass(frozen=True)
class AnswerRecording:
    """The answers of one recording.

    Attributes:
        session: that answers it.
        rows: of all recordings of the question together.
        hours: of video of all recordings together.
    """

    session: Session
    rows: int
    hours: float

    def __call__(self, recording: Stretches, /) -> Answered:
        """Do it."""
        self.session.expect(self.rows, self.hours)
        return self.session.answerer.answer(recording)

    def reads(self, recording: Stretches, /) -> Sequence[Path]:
        """Its first file and the bundle; all of them have just been looked at."""
        return recording[0].footage.feat, self.session.spec.bundle

    def lost(self, recording: Stretches, why: str, /) -> Answered:
        """All of it is left out."""
        return Answered(refused=tuple((stretch, FeatureError(f"{stretch.footage.feat}: {why}")) for stretch in recording))
