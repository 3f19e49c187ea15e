"""Questions: the server answers, and what it says on the way is gathered for the browser, so that a slow one holds up nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from wsra.runtime.archive.answer_json import answer_json, moment_json
from wsra.runtime.archive.answering import Answered
from wsra.runtime.archive.detections import Detection
from wsra.runtime.archive.search import SearchResults
from wsra.runtime.archive.strips import Strip
from wsra.runtime.errors import WsraError
from wsra.runtime.formats.wallclock import instant
from wsra.runtime.serving.server import Listener, Server
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.library.listing import LeftOut, left_out_of
from wsra.runtime.view.questions.asked import Asked
from wsra.runtime.view.web.streams import ALIVE_S, Event

logger = logging.getLogger(__name__)

PACE_S = 0.1  # from one event of a stream to the next
UNEXPECTED = "something went wrong that wsra did not expect; the terminal in which wsra view runs says what"


@dataclass
class _Heard:
    """What the server has said since the last event."""

    progress: dict[str, Any] | None = None
    moments: list[list[Detection]] = field(default_factory=list)
    strips: dict[tuple[int, str], NDArray[np.float32]] = field(default_factory=dict)


class Asking:
    """A question that is being answered. The event loop makes it, and the server's thread reports to it.

    Args (constructor):
        server: what answers.
        library: the opened folders.
        asked: the question.
        strips: whether strips are wanted.

    Raises (constructor):
        ServerError: too many requests wait.
    """

    def __init__(self, server: Server, library: Library, asked: Asked, *, strips: bool) -> None:
        self._library, self._asked = library, asked
        self._loop, self._news, self._done = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._lock, self._heard = Lock(), _Heard()
        self._unneeded = Flag()
        question = asked.request.question
        if strips:
            question = replace(question, window=asked.window)
        self.future = server.submit_request(
            replace(asked.request, question=question),
            listening=Listener(self._on_progress, self._on_answered, self._unneeded),
            listing=asked.listing.footage,
        )
        self.future.add_done_callback(lambda _: self._tell(self._done, self._news))

    def cancel(self) -> None:
        """Nobody needs the answer any more."""
        self._unneeded.set()
        self.future.cancel()

    async def found(self) -> SearchResults:
        """Wait for the answer; whoever is interrupted while waiting cancels it.

        Raises:
            WsraError: of the request.
        """
        try:
            await self._done.wait()
            return self.future.result()
        finally:
            self.cancel()

    async def events(self, *, answers: bool) -> AsyncGenerator[Event, None]:
        """What the browser hears: progress and recordings while they are answered, at last the answers or why there are none.

        Args:
            answers: whether moments and answers are wanted; strips alone otherwise.
        """
        try:
            done = False
            while not done:
                if not await _within(self._news, ALIVE_S):
                    yield None
                    continue
                done = self._done.is_set()
                self._news.clear()
                heard = self._taken()
                if heard.progress is not None:
                    yield "progress", heard.progress
                if heard.strips or (answers and any(heard.moments)):
                    yield "recording", await run_in_threadpool(self._recording, heard, answers)
                await _within(self._done, PACE_S)
            yield await self._last(answers)
        finally:
            self.cancel()

    async def _last(self, answers: bool) -> Event:
        try:
            found = self.future.result()
            return ("answers", await run_in_threadpool(self._answers, found)) if answers else ("done", {})
        except (WsraError, CancelledError) as err:
            return "failed", {"message": str(err) or "the request was cancelled"}
        except Exception as err:  # of whatever kind: the page says so, and the terminal says what
            logger.warning(f"{type(err).__name__} while a question was answered: {err}")
            return "failed", {"message": UNEXPECTED}

    def _on_progress(self, what: str, done: float, total: float | None) -> None:
        with self._lock:
            self._heard.progress = {"what": what, "done": done, "total": total}
        self._tell(self._news)

    def _on_answered(self, answered: Answered) -> None:
        with self._lock:
            for seen in answered.seen:
                for number, of_query in enumerate(seen):
                    self._gather(number, of_query.detections, of_query.strip)
        self._tell(self._news)

    def _gather(self, number: int, detections: tuple[Detection, ...], strip: Strip | None) -> None:
        heard, question = self._heard, self._asked.request.question
        if not heard.moments:
            heard.moments = [[] for _ in question.queries]
        best = sorted([*heard.moments[number], *detections], key=lambda one: -one.moment.score)
        heard.moments[number] = best[: question.top_k]
        if strip is not None and np.isfinite(strip.values).any():
            key = number, self._asked.listing.camera_id(strip.feat)
            if key not in heard.strips:
                heard.strips[key] = np.full(self._asked.window.bins, np.nan, np.float32)
            part = heard.strips[key][strip.first : strip.first + len(strip.values)]
            np.fmax(part, strip.values, out=part)

    def _taken(self) -> _Heard:
        with self._lock:
            heard, self._heard = self._heard, _Heard()
        return heard

    def _tell(self, *events: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody listens any more
            for event in events:
                self._loop.call_soon_threadsafe(event.set)

    def _recording(self, heard: _Heard, moments: bool) -> dict[str, Any]:
        listed = [[self._moment(one, found=True) for one in of_query] for of_query in heard.moments] if moments else []
        return {"moments": listed, "strips": [_strip_json(*key, values) for key, values in heard.strips.items()]}

    def _answers(self, found: SearchResults) -> dict[str, Any]:
        answers = []
        for result in found.results:
            answer = answer_json(result, found)
            answer["moments"] = [self._moment(one, found=True) for one in result.detections]
            if answer["best_candidate"] is not None and result.best is not None:
                answer["best_candidate"] = self._moment(result.best, found=False)
            answers.append(answer)
        left_out = (*self._asked.listing.left_out, *(self._left_out(said) for said in found.left_out))
        return {"answers": answers, "left_out": [{"file": one.file, "reason": one.reason} for one in left_out]}

    def _left_out(self, said: str) -> LeftOut:
        """A file that turned out broken, of the message about it, which begins with its name."""
        named = [file.feat for file in self._asked.listing.footage if said.startswith(str(file.feat))]
        return left_out_of(max(named, key=lambda feat: len(str(feat))), said) if named else LeftOut("", said)

    def _moment(self, one: Detection, *, found: bool) -> dict[str, Any]:
        parts = [
            {"video": self._library.video_id(part.feat, part.file), "start_s": part.start_s, "end_s": part.end_s, "best_s": part.best_s}
            for part in one.excerpts
        ]
        return {
            **moment_json(one, found=found),
            "camera_id": self._asked.listing.camera_id(one.excerpts[0].feat),
            "parts": parts,
            "epoch_s": None if one.start is None else instant(one.start).timestamp(),
        }


def _strip_json(query: int, camera: str, values: NDArray[np.float32]) -> dict[str, Any]:
    """A strip from its first to its last bin that has a row."""
    held = np.flatnonzero(np.isfinite(values))
    first, last = int(held[0]), int(held[-1]) + 1
    shown = [round(value, 3) if np.isfinite(value) else None for value in values[first:last].tolist()]
    return {"query": query, "camera": camera, "first": first, "values": shown}


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, or until the time is over; returns whether it is set."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True
