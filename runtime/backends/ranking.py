"""Which of several ways to run a bundle is the fastest for what is asked, from what `wsra verify` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Protocol, TypeVar

NOISE = 0.05  # of routes whose times differ by less, the most precise one is taken


@dataclass(frozen=True)
class Times:
    """Two figures of one route.

    Attributes:
        first_ms: milliseconds from the start of opening the bundle in a new process to the first answer; None if it was not measured.
        steady_ms: median milliseconds of an answer once everything is loaded.
    """

    first_ms: float | None
    steady_ms: float

    def total_ms(self, answers: float) -> float:
        """Milliseconds for so many answers in a new process. Infinitely many stand for a process that stays: per answer."""
        if not isfinite(answers):
            return self.steady_ms
        first_ms = self.steady_ms if self.first_ms is None else self.first_ms
        return first_ms + (answers - 1) * self.steady_ms


class OnProvider(Protocol):
    """A route, of which only the provider counts here."""

    @property
    def provider(self) -> Any:
        """The name "cpu", or that of a provider on a GPU."""


R = TypeVar("R", bound=OnProvider)


def fastest(routes: Sequence[R], times: Mapping[R, Times], answers: float) -> R | None:
    """The route that answers soonest, or a more precise one that is as fast within the noise; None if none was measured.

    A GPU is taken only where it wins: routes on it that do not beat the fastest one on the CPU by more than the noise do not count.

    Args:
        routes: from the most precise to the least precise.
        times: of the routes that were measured.
        answers: how many are asked for, which is sentences x videos; infinity for a process that stays.
    """
    totals = {route: times[route].total_ms(answers) for route in routes if route in times}
    on_cpu = min((total for route, total in totals.items() if route.provider == "cpu"), default=inf)
    totals = {route: total for route, total in totals.items() if route.provider == "cpu" or total < (1 - NOISE) * on_cpu}
    limit = (1 + NOISE) * min(totals.values(), default=inf)
    return next((route for route in routes if totals.get(route, inf) <= limit and route in totals), None)
