"""Decoding, preparation and inference of a video, each in a thread of its own beside what follows, and what the graph waited for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from time import perf_counter
from typing import Protocol, TypeVar, runtime_checkable

from wsra.runtime.prefetch import Waiting, produced
from wsra.runtime.video.frames import Frame

AHEAD = 2  # prepared calls that may wait for the graph
DONE = 1  # results that may wait for what follows
WAITS = 0.2  # share of the time from which on another stage than the graph is called the bound

Call = TypeVar("Call")
Result = TypeVar("Result")


class Pipeline:
    """The stages of one video. The frames come from a thread that decodes them (`wsra.runtime.prefetch.ahead`).

    Preparation runs in a second thread and inference in a third; what follows stays in the thread of the caller.

    Args (constructor):
        follows: what the caller does with the results, as a stage that may be the bound: "tracking" or "gathering".
        overlaps: False makes the stages take turns, so that each can be timed alone.
    """

    def __init__(self, follows: str, *, overlaps: bool = True) -> None:
        self._follows, self._overlaps = follows, overlaps
        self._frames, self._calls, self._results = Waiting(), Waiting(), Waiting()
        self._total_s = 0.0

    def run(
        self,
        frames: Iterable[Frame],
        prepare: Callable[[Iterator[Frame], Callable[[Call], None]], None],
        infer: Callable[[Call], Result],
        *,
        depth: int = AHEAD,
    ) -> Generator[Result, None, None]:
        """Prepare calls and run the graph on them ahead of the caller.

        Args:
            frames: in presentation order.
            prepare: is called in a thread with the frames and with the function that hands over a prepared call.
            infer: is called in another thread with each call, in order.
            depth: calls that may wait for the graph.

        Yields:
            What `infer` returns, in order.
        """

        def make(put: Callable[[Call], None]) -> None:
            prepare(self._frames.over(frames), put)

        def infer_all(put: Callable[[Result], None]) -> None:
            start = perf_counter()
            try:
                with closing(produced(make, depth if self._overlaps else 0)) as calls:
                    for call in self._calls.over(calls):
                        result = infer(call)
                        with self._results.added():
                            put(result)
            finally:
                self._total_s = perf_counter() - start

        with closing(produced(infer_all, DONE if self._overlaps else 0)) as results:
            yield from results

    @property
    def waited(self) -> float:
        """Share of the time, 0 to 1, in which the graph waited for a prepared call, or for the caller to take its results."""
        return (self._calls.seconds + self._results.seconds) / self._total_s if self._total_s else 0.0

    @property
    def bound(self) -> str:
        """The stage that limits the speed: "decoding", "preparation", "inference" or what follows."""
        if self.waited < WAITS:
            return "inference"
        if self._results.seconds > self._calls.seconds:
            return self._follows
        return "decoding" if self._frames.seconds > self._calls.seconds / 2 else "preparation"

    def in_words(self, what: str) -> str:
        """How long the graph waited, in one line; `what` names it: "encoder" or "detector"."""
        return f"the {what} waited {100 * self.waited:.0f} % of the time: {self.bound} is the bound"


@runtime_checkable
class Staged(Protocol):
    """A backbone that runs a graph.

    Attributes:
        overlaps: whether the stages run at the same time; `wsra bench` turns it off to time them alone.
    """

    overlaps: bool

    def stages(self) -> str:
        """How long its graph waited in the last video, in one line."""
