"""A server within a process: one bundle stays open, and a thread answers the requests of many others, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic
from types import TracebackType

from wsra.runtime.archive.answering import Answered
from wsra.runtime.archive.cameras import Footage
from wsra.runtime.archive.opened import OpenBundle
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import SearchResults, search_open
from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import ConfigError, ServerError, WsraError
from wsra.runtime.formats.bundle import default_bundle, open_bundle
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.serving.together import MOST, differ_in_sentences_alone, together

logger = logging.getLogger(__name__)

WAITING = 64  # requests; more are refused

_LATE = "the deadline passed before there was an answer; allow more time, or ask for less video"
_CLOSED = "the server was closed before it answered; open another one"
_CANCELLED = "the request was cancelled"


@dataclass(frozen=True)
class Listener:
    """Who hears of a request while it is answered; all of it is called by the server's thread.

    Attributes:
        progress: as for `search`.
        each: called with the answers of each recording as they come; see `search_open`.
        cancelled: set by whoever needs no answer any more.
    """

    progress: Progress = unseen
    each: Callable[[Answered], None] = lambda answered: None
    cancelled: Event = field(default_factory=Event)


class _StopError(BaseException):
    """Nobody needs the answer any more. It is no Exception, because what reads a file makes messages about the file of those."""


@dataclass
class _Waiting:
    """A request, who waits for it, until when (seconds of `monotonic`; None for ever), and its files where they are known."""

    request: Request
    deadline_s: float | None
    listener: Listener = field(default_factory=Listener)
    listing: Sequence[Footage] | None = None
    future: Future[SearchResults] = field(default_factory=Future)

    @property
    def stopped(self) -> str:
        """Why nobody needs the answer; empty where somebody does."""
        if self.listener.cancelled.is_set():
            return _CANCELLED
        return _LATE if self.deadline_s is not None and monotonic() >= self.deadline_s else ""

    def equals(self, other: _Waiting) -> bool:
        """Whether one answer is that of both."""
        return self.request == other.request and self.listing is other.listing

    def joins(self, other: _Waiting) -> bool:
        """Whether one search can answer both."""
        return self.listing is other.listing and differ_in_sentences_alone(self.request, other.request)


class Server:
    """Answers requests about any cameras and archives with one bundle, whose graphs, engines and kernel are loaded once.

    A context manager, safe to use from many threads. The bundle opens with its block; at its end everything is closed, and requests
    without an answer are refused. One thread answers one request after the other, so that each answer is that of `wsra ground`, number
    for number. Requests that wait together and differ in their sentences alone are answered by one search. Files are looked at for each
    search: new ones in a folder are found. Features that are missing are extracted, while other requests wait.

    Args (constructor):
        bundle: its folder, or None for the default.
        settings: how it runs.
        most_waiting: requests that may wait; more are refused.

    Raises (constructor):
        ConfigError: `most_waiting` is below 1.
    """

    def __init__(self, bundle: Path | None = None, settings: RunSettings = DEFAULT, *, most_waiting: int = WAITING) -> None:
        if most_waiting < 1:
            raise ConfigError(f"most_waiting is {most_waiting}; expected a number of requests above 0")
        self._folder, self._settings, self._most_waiting = default_bundle(bundle), settings, most_waiting
        self._changed = Condition()
        self._waiting: list[_Waiting] = []
        self._open = False
        self._joins = False  # whether requests that differ in their sentences alone are answered together
        self._thread: Thread | None = None

    def __enter__(self) -> Server:
        """Open the bundle.

        Raises:
            BundleError, BackendError, MissingExtraError: as `Grounder.open`.
        """
        opened: Future[None] = Future()
        self._open = True
        self._thread = Thread(target=self._run, args=(opened,), name="wsra-server", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Refuse what waits, stop what is being answered after the file or second of video in hand, and close the bundle."""
        self._close()
        if self._thread is not None:
            self._thread.join()

    def _close(self) -> None:
        with self._changed:
            self._open = False
            left, self._waiting = self._waiting, []
            self._changed.notify_all()
        for one in left:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(ServerError(_CLOSED))

    def ask(
        self, paths: Sequence[Path], question: Question, *, between: tuple[str, str] | None = None, deadline_s: float | None = None
    ) -> SearchResults:
        """Answer a request, and wait for the answer.

        Args:
            paths: videos, .feat files or folders.
            question: what is asked of them.
            between: two times as `wsra ground --between` takes them, or None for all times.
            deadline_s: seconds from now after which nobody needs the answer, or None.

        Raises:
            WsraError: as `search`; of this request only.
            ServerError: too many requests wait, the deadline has passed, or the server is closed.
        """
        return self.submit(paths, question, between=between, deadline_s=deadline_s).result()

    def submit(
        self, paths: Sequence[Path], question: Question, *, between: tuple[str, str] | None = None, deadline_s: float | None = None
    ) -> Future[SearchResults]:
        """As `ask`, without waiting; the errors of the request are those of the future, which can be cancelled until its turn comes.

        Raises:
            ServerError: too many requests wait, or the server is closed.
        """
        return self.submit_request(Request(tuple(paths), question, between=between), deadline_s=deadline_s)

    def submit_request(
        self,
        request: Request,
        *,
        deadline_s: float | None = None,
        listening: Listener | None = None,
        listing: Sequence[Footage] | None = None,
    ) -> Future[SearchResults]:
        """As `submit`, for everything that a request can ask.

        Args:
            request: its bundle and settings are those of the server, whatever it says; `ray` is not used.
            deadline_s: as for `ask`.
            listening: who hears of it while it is answered.
            listing: all files of the request where they are known already; None looks at its paths. Requests are equal only with the
                same object.

        Raises:
            ServerError: too many requests wait, or the server is closed.
        """
        request = replace(request, bundle=self._folder, settings=self._settings, ray=None)
        one = _Waiting(request, None if deadline_s is None else monotonic() + deadline_s, listening or Listener(), listing)
        with self._changed:
            if not self._open:
                raise ServerError("the server is closed; ask within its block")
            if len(self._waiting) >= self._most_waiting:
                raise ServerError(f"{self._most_waiting} requests wait already; ask again later")
            self._waiting.append(one)
            self._changed.notify()
        return one.future

    def _run(self, opened: Future[None]) -> None:
        """The thread: it opens, uses and closes the bundle, because a GPU's libraries tie what they open to a thread."""
        try:
            bundle = open_bundle(self._folder, trust_unchanged=True)
            with OpenBundle(bundle.folder, choose(bundle, this_device(gpu=self._settings.device), self._settings), self._settings) as held:
                _ = held.grounder
                held.log_how_it_runs()
                # The kernels of a trained scorer take sentences one by one. Products of several sentences would round by how many they are.
                self._joins = bundle.manifest.scorer == "trained" and held.grounder.ran.kernel != "graph"
                opened.set_result(None)
                while (same := self._next()) is not None:
                    if same:
                        self._answer(held, same)
        except BaseException as err:
            if not opened.done():
                opened.set_exception(err)
            else:
                logger.warning(f"the server stopped, and its bundle could not be closed: {err}")
        finally:
            self._close()

    def _next(self) -> list[_Waiting] | None:
        """The first request that waits and those that one search answers with it; None when the server is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            if not self._open:
                return None
            first = self._waiting[0]
            if self._joins:
                most = MOST // len(first.request.question.queries) or 1
                taken = [one for one in self._waiting if one.joins(first)][:most]
            else:
                taken = [one for one in self._waiting if one.equals(first)]
            self._waiting = [one for one in self._waiting if all(one is not other for other in taken)]
            return [one for one in taken if one.future.set_running_or_notify_cancel()]

    def _answer(self, held: OpenBundle, same: list[_Waiting]) -> None:
        """Answer requests that one search answers; whatever goes wrong is an error of these requests only."""
        asked = together([one.request for one in same])

        def check(what: str, done: float, total: float | None) -> None:
            if not self._open:
                raise _StopError(_CLOSED)
            if all(one.stopped for one in same):
                raise _StopError(same[0].stopped)
            for one in same:
                one.listener.progress(what, done, total)

        def heard(answered: Answered) -> None:
            for one in same:
                one.listener.each(asked.answered(answered, one.request))

        try:
            check("requests", 0, None)
            found = search_open(held, asked.request, progress=check, listing=same[0].listing, each=heard, alone=asked.alone)
        except BaseException as err:
            if isinstance(err, WsraError) and any(not one.equals(same[0]) for one in same):
                for one in same:  # which sentence it was is seen when each is asked by itself
                    self._answer(held, [one])
                return
            for one in same:
                one.future.set_exception(ServerError(str(err)) if isinstance(err, _StopError) else err)
            return
        for one in same:
            if one.stopped:
                one.future.set_exception(ServerError(one.stopped))
            else:
                one.future.set_result(asked.results(found, one.request))
