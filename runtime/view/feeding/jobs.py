"""Extraction in the background: which videos wait, which one is being worked on, and what became of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import Any

from wsra.runtime.archive.inputs import Input, MissingFeatures
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.errors import WsraError
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.video.frames import file_state
from wsra.runtime.view.feeding.extraction import Extraction
from wsra.runtime.view.feeding.waiting import Kept, Queue, State
from wsra.runtime.view.library.library import Library

logger = logging.getLogger(__name__)

SHOWN = 200  # of the videos that wait and of those that failed; the numbers count all
_LOOK_AGAIN_S = 5.0  # how often videos that failed are looked at: one that was being copied may be complete now
_PATIENCE_S = 10.0  # for the second of video in hand, when the page closes


class _StoppedError(BaseException):
    """The video in hand is not wanted any more; it is no Exception, because what reads a file makes messages about it of those."""


@dataclass
class _Job:
    """A video without features."""

    given: Input
    done_s: float = 0.0
    total_s: float | None = None
    cancelled: bool = False
    id: str = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        path, root = self.given.path, self.given.root
        self.id = "j" + sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        self.name = path.relative_to(root).as_posix() if root is not None and path.is_relative_to(root) else path.name


@dataclass
class _Failure:
    """A video that has no features, and why not.

    Attributes:
        job: what was tried.
        reason: in one line.
        state: of the file when it was tried.
        seen: of the file when it was last looked at.
    """

    job: _Job
    reason: str
    state: State
    seen: State


class Jobs:
    """Extracts one video after the other in a thread. A context manager.

    What waits is kept in the user's cache folder, and goes on with the next page over the same folders. A video that failed is tried again
    when it has changed, or when it is asked for again.

    Args (constructor):
        library: the opened folders; it is refreshed after each video that is ready.
        bundle: whose features are wanted.
        settings: how it runs.
        queue: where what waits is kept; None for the user's cache folder.
    """

    def __init__(self, library: Library, bundle: Bundle, settings: RunSettings, *, queue: Queue | None = None) -> None:
        self.library = library
        self._queue = queue or Queue(library.roots)
        self._extraction = Extraction(bundle, settings)
        self._changed = Condition()
        self._waiting: dict[Path, _Job] = {}
        self._running: _Job | None = None
        self._failed: dict[Path, _Failure] = {}
        self._finished = self._cancelled = 0
        self._open = False
        self._listeners: set[Callable[[], None]] = set()
        self._thread = Thread(target=self._run, name="wsra-jobs", daemon=True)

    def __enter__(self) -> Jobs:
        """Go on with what waited when the last page closed."""
        for kept in self._queue.read():
            if self.library.holds(kept.given.path):
                job = _Job(kept.given)
                if kept.reason is None or file_state(kept.given.path) != kept.state:
                    self._waiting[kept.given.path] = job
                else:
                    self._failed[kept.given.path] = _Failure(job, kept.reason, kept.state, kept.state)
        self._open = True
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop after the second of video in hand, which is begun anew the next time."""
        self.close()

    def close(self) -> None:
        """As the end of the block."""
        with self._changed:
            if not self._open:
                return
            self._open = False
            self._save()
            self._changed.notify_all()
        self._tell()
        self._thread.join(_PATIENCE_S)

    def add(self, missing: Iterable[MissingFeatures]) -> int:
        """Extract videos; those that wait or run already are not counted.

        Returns:
            How many were added.
        """
        with self._changed:
            before = len(self._waiting)
            for one in missing:
                path = one.given.path
                if path not in self._waiting and (self._running is None or self._running.given.path != path or self._running.cancelled):
                    self._waiting[path] = _Job(one.given)
                    self._failed.pop(path, None)
            added = len(self._waiting) - before
            if added:
                self._save()
                self._changed.notify_all()
        self._tell()
        return added

    def cancel(self, id: str | None = None) -> int:
        """Cancel a video that waits or is being extracted, or all.

        Args:
            id: of the video; None for all.

        Returns:
            How many were cancelled.
        """
        with self._changed:
            gone = [path for path, job in self._waiting.items() if id in (None, job.id)]
            for path in gone:
                del self._waiting[path]
            self._cancelled += len(gone)
            count = len(gone)
            if self._running is not None and not self._running.cancelled and id in (None, self._running.id):
                self._running.cancelled = True  # counted when it stops
                count += 1
            if count:
                self._save()
        self._tell()
        return count

    def state(self) -> dict[str, Any]:
        """What a page shows; of long lists the first `SHOWN`, beside the numbers of all."""
        with self._changed:
            running = self._running
            shown = None
            if running is not None:
                shown = {"id": running.id, "name": running.name, "done_s": running.done_s, "total_s": running.total_s}
            waiting, failed = list(self._waiting.values()), list(self._failed.values())
            return {
                "running": shown,
                "waiting": [{"id": job.id, "name": job.name} for job in waiting[:SHOWN]],
                "waiting_total": len(waiting),
                "finished": self._finished,
                "failed": [{"name": failure.job.name, "reason": failure.reason} for failure in failed[:SHOWN]],
                "failed_total": len(failed),
                "cancelled": self._cancelled,
            }

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Within the block a function is called, in any thread, whenever something has changed."""
        with self._changed:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.discard(listener)

    def _tell(self) -> None:
        with self._changed:
            listeners = tuple(self._listeners)
        for listener in listeners:
            with suppress(RuntimeError):  # the loop of a listener that is just leaving is closed
                listener()

    def _save(self) -> None:
        begun = [] if self._running is None or self._running.cancelled else [self._running]
        waiting = [Kept(job.given, None, None) for job in (*begun, *self._waiting.values())]
        self._queue.write([*waiting, *(Kept(one.job.given, one.reason, one.state) for one in self._failed.values())])

    def _next(self) -> _Job | None:
        """The next video; None when the page closes. The backbone is freed while there is none."""
        with self._changed:
            while self._open and not self._waiting:
                self._extraction.rest()
                self._changed.wait(_LOOK_AGAIN_S if self._failed else None)
                self._look_at_failed()
            if not self._open:
                return None
            path = next(iter(self._waiting))
            self._running = self._waiting.pop(path)
            return self._running

    def _look_at_failed(self) -> None:
        """Videos that have changed since they failed, and now change no more, wait again."""
        for path, failure in list(self._failed.items()):
            state = file_state(path)
            if state is None:
                del self._failed[path]
            elif state != failure.state and state == failure.seen:
                self._waiting[path] = self._failed.pop(path).job
            failure.seen = state

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._tell()
            state, failure = file_state(job.given.path), None
            try:
                self._extraction.extract(job.given, lambda done, total, job=job: self._seen(job, done, total))  # type: ignore[misc]
            except _StoppedError:
                if not job.cancelled:
                    return  # the page closes, and what was being done is kept
            except WsraError as err:
                failure = _Failure(job, str(err), state, state)
            except Exception as err:  # of whatever kind: the others go on
                reason = f"{job.given.path}: wsra did not expect this ({type(err).__name__}: {err}); please report it"
                failure = _Failure(job, str(WsraError(reason)), state, state)
            else:
                job.cancelled = False  # it was too late
            if failure is not None:
                logger.warning(f"not extracted: {failure.reason}")
            with self._changed:
                self._running = None
                if job.cancelled:
                    self._cancelled += 1
                elif failure is not None:
                    self._failed[job.given.path] = failure
                else:
                    self._finished += 1
                if self._open:
                    self._save()
            if failure is None and not job.cancelled:
                self.library.refresh()
            self._tell()

    def _seen(self, job: _Job, done_s: float, total_s: float | None) -> None:
        """Note how far a video is, and end it where it is not wanted any more."""
        if job.cancelled or not self._open:
            raise _StoppedError
        job.done_s, job.total_s = (done_s if total_s is None else min(done_s, total_s)), total_s
        self._tell()
