"""Decoding, preparation and inference of a video, each in a thread of its own, and what the graph waited for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from time import perf_counter
from typing import Protocol, TypeVar, runtime_checkable

from wsra.runtime.prefetch import Waiting, produced
from wsra.runtime.video.frames import Frame

AHEAD = 2  # prepared calls that may wait for the graph
WAITS = 0.2  # share of the time from which on another stage than the graph is called the bound

Call = TypeVar("Call")


class Pipeline:
    """The stages of one video. The frames come from a thread that decodes them (`wsra.runtime.prefetch.ahead`).

    Preparation runs in a second thread; inference stays in the thread of the caller.

    Args (constructor):
        overlaps: False makes the stages take turns, so that each can be timed alone.
    """

    def __init__(self, *, overlaps: bool = True) -> None:
        self._overlaps = overlaps
        self._frames, self._calls = Waiting(), Waiting()
        self._total_s = 0.0

    def run(
        self, frames: Iterable[Frame], prepare: Callable[[Iterator[Frame], Callable[[Call], None]], None], *, depth: int = AHEAD
    ) -> Generator[Call, None, None]:
        """Prepare calls ahead of the caller, who runs the graph on them.

        Args:
            frames: in presentation order.
            prepare: is called in a thread with the frames and with the function that hands over a prepared call.
            depth: calls that may wait.

        Yields:
            The calls, in order.
        """

        def make(put: Callable[[Call], None]) -> None:
            prepare(self._frames.over(frames), put)

        start = perf_counter()
        try:
            with closing(produced(make, depth if self._overlaps else 0)) as calls:
                yield from self._calls.over(calls)
        finally:
            self._total_s = perf_counter() - start

    @property
    def waited(self) -> float:
        """Share of the time, 0 to 1, in which the graph waited for a prepared call."""
        return self._calls.seconds / self._total_s if self._total_s else 0.0

    @property
    def bound(self) -> str:
        """The stage that limits the speed: "decoding", "preparation" or "inference"."""
        if self.waited < WAITS:
            return "inference"
        return "decoding" if self._frames.seconds > self._calls.seconds / 2 else "preparation"

    def in_words(self, what: str) -> str:
        """How long the graph waited, in one line; `what` names it: "encoder" or "detector"."""
        return f"the {what} waited {100 * self.waited:.0f} % of the time: {self.bound} is the bound"


@runtime_checkable
class Staged(Protocol):
    """A backbone that runs a graph.

    Attributes:
        overlaps: whether preparation and inference run at the same time; `wsra bench` turns it off to time them alone.
    """

    overlaps: bool

    def stages(self) -> str:
        """How long its graph waited in the last video, in one line."""
