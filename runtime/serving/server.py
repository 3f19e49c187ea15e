"""A server within a process: one bundle stays open, and a thread answers the requests of many others, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from types import TracebackType

from wsra.runtime.archive.opened import OpenBundle
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import SearchResults, search_open
from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.settings import DEFAULT, RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import ConfigError, ServerError
from wsra.runtime.formats.bundle import default_bundle, open_bundle

logger = logging.getLogger(__name__)

WAITING = 64  # requests; more are refused

_LATE = "the deadline passed before there was an answer; allow more time, or ask for less video"
_CLOSED = "the server was closed before it answered; open another one"


class _StopError(BaseException):
    """Nobody needs the answer any more. It is no Exception, because what reads a file makes messages about the file of those."""


@dataclass
class _Waiting:
    """A request, who waits for it, and until when (seconds of `monotonic`; None for ever)."""

    request: Request
    deadline_s: float | None
    future: Future[SearchResults] = field(default_factory=Future)

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_s is not None and monotonic() >= self.deadline_s


class Server:
    """Answers requests about any cameras and archives with one bundle, whose graphs, engines and kernel are loaded once.

    A context manager, safe to use from many threads. The bundle opens with its block; at its end everything is closed, and requests
    without an answer are refused. One thread answers one request after the other, so that each answer is that of `wsra ground`, number
    for number. The sentences of a request are answered together, and equal requests that wait together are answered once. Files are
    looked at for each request: new ones in a folder are found. Features that are missing are extracted, while other requests wait.

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
        deadline_s = None if deadline_s is None else monotonic() + deadline_s
        one = _Waiting(Request(tuple(paths), question, self._folder, self._settings, between), deadline_s)
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
        """The first request that waits and those that are equal to it; None when the server is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            if not self._open:
                return None
            first = self._waiting[0].request
            same = [one for one in self._waiting if one.request == first]
            self._waiting = [one for one in self._waiting if one.request != first]
            return [one for one in same if one.future.set_running_or_notify_cancel()]

    def _answer(self, held: OpenBundle, same: list[_Waiting]) -> None:
        """Answer equal requests; whatever goes wrong is an error of these requests only."""

        def check(what: str, done: float, total: float | None) -> None:
            if not self._open:
                raise _StopError(_CLOSED)
            if all(one.late for one in same):
                raise _StopError(_LATE)

        try:
            check("requests", 0, None)
            found = search_open(held, same[0].request, progress=check)
        except BaseException as err:
            for one in same:
                one.future.set_exception(ServerError(str(err)) if isinstance(err, _StopError) else err)
            return
        for one in same:
            if one.late:
                one.future.set_exception(ServerError(_LATE))
            else:
                one.future.set_result(found)
