"""Timing: laps of a stopwatch, and work that takes turns, so that a change of the machine's speed meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

Run = Callable[[], Mapping[str, float]]  # does its work once and returns the seconds of each of its stages
FEWEST, MOST = 5, 100  # rounds, where only their time is bounded


class LapTimer:
    """Adds up the time of each lap by its name; of laps within others only the innermost runs.

    Attributes:
        seconds: lap -> their sum.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since_s = 0.0

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Count the time of a block, also of one that fails."""
        self._turn()
        self._open.append(name)
        self.seconds.setdefault(name, 0.0)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now_s = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now_s - self._since_s
        self._since_s = now_s


@dataclass(frozen=True)
class Times:
    """How long a stage took.

    Attributes:
        each_ms: of every round, in their order.
    """

    each_ms: tuple[float, ...]

    @property
    def rounds(self) -> int:
        """How many were counted."""
        return len(self.each_ms)

    @property
    def p50_ms(self) -> float:
        """The median."""
        return float(np.percentile(self.each_ms, 50))

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 rounds stay below, interpolated; of fewer than 100 rounds nearly the slowest."""
        return float(np.percentile(self.each_ms, 99))


def one_stage(name: str, work: Callable[[], object]) -> Run:
    """A run of a single stage."""

    def run() -> Mapping[str, float]:
        watch = LapTimer()
        with watch.lap(name):
            work()
        return watch.seconds

    return run


def in_turns(runs: Sequence[Run], *, rounds: int | None = None, at_least_s: float = 0.0) -> dict[str, Times]:
    """Call every run once in each round.

    Args:
        runs: what is timed; what should not count of a first call must have been done before.
        rounds: how many; None: as many as `at_least_s` takes, but at least 5 and at most 100.
        at_least_s: in seconds, where the rounds are not given.

    Returns:
        Stage -> its times; stages of several runs must have different names.
    """
    taken: dict[str, list[float]] = {}
    start_s, done = time.perf_counter(), 0
    while done < (rounds or FEWEST) or (rounds is None and done < MOST and time.perf_counter() - start_s < at_least_s):
        for run in runs:
            for name, seconds in run().items():
                taken.setdefault(name, []).append(1000 * seconds)
        done += 1
    return {name: Times(tuple(each)) for name, each in taken.items()}


def ratio(times: Sequence[Times], base: Times) -> float:
    """The median over the rounds of the sum of some stages, divided by another stage that took turns with them."""
    sums = np.sum([one.each_ms for one in times], axis=0)
    return float(np.median(sums / np.array(base.each_ms)))
