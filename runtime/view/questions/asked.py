"""What the query of an address asks: sentences, cameras, times, how many moments, and the bins of the strips."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from wsra.runtime.archive.between import read_between
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.strips import StripWindow
from wsra.runtime.errors import ConfigError
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.library.listing import Listing
from wsra.runtime.view.web.refusals import in_bounds

MOST_SENTENCES, MOST_MOMENTS, MOST_BINS = 8, 100, 4096
MOMENTS, BINS = 20, 1200
LATEST_S = 4102444800.0  # the year 2100


@dataclass(frozen=True)
class Asked:
    """A question of the page.

    Attributes:
        request: what the server is asked.
        window: of the strips.
        listing: the files that are asked.
    """

    request: Request
    window: StripWindow
    listing: Listing

    @property
    def command(self) -> list[str]:
        """The command line that asks the same; several sentences stand one after the other."""
        request, question = self.request, self.request.question
        options: list[Any] = ["--no-extract", "--top-k", question.top_k]
        options += [] if request.between is None else ["--between", *request.between]
        options += [] if request.daily is None else ["--daily", *request.daily]
        options += [part for name in request.cameras or () for part in ("--camera", name)]
        options += [] if question.false_alarms is None else ["--false-alarms", f"{question.false_alarms:g}"]
        return ["wsra", "ground", *(str(part) for part in (*request.paths, *question.queries, *options))]


def read_asked(params: QueryParams, library: Library) -> Asked:
    """Read the query of an address.

    Raises:
        ConfigError: a value is not what is expected, or there is nothing to ask yet.
        NotServed: a camera is unknown.
    """
    queries = tuple(text.strip() for text in params.getlist("q") if text.strip())
    if not 1 <= len(queries) <= MOST_SENTENCES:
        raise ConfigError(f"got {len(queries)} sentences; expected 1 to {MOST_SENTENCES}, each as q=")
    listing = library.listing()
    if not listing.footage:
        raise ConfigError("no video can be searched yet; prepare some first: press Prepare under Footage")
    cameras = library.camera_names(params.getlist("camera")) or None
    alarms = params.get("false_alarms")
    false_alarms = None if alarms is None else in_bounds("false_alarms", alarms, least=1e-9, most=1e9)
    question = Question(queries, top_k=_whole(params, "top_k", MOMENTS, MOST_MOMENTS), false_alarms=false_alarms)
    between, daily = _times(params, "from", "to", dated=True), _times(params, "daily_from", "daily_to", dated=False)
    request = Request(library.roots, question, between=between, daily=daily, cameras=cameras, extract=False)
    begin, end = listing.from_s or 0.0, listing.to_s or 1.0
    window = StripWindow(_number(params, "strip_from", begin), _number(params, "strip_to", end), _whole(params, "bins", BINS, MOST_BINS))
    return Asked(request, window, listing)


def _number(params: QueryParams, name: str, default: float) -> float:
    text = params.get(name)
    return default if text is None else in_bounds(name, text, least=0.0, most=LATEST_S)


def _whole(params: QueryParams, name: str, default: int, most: int) -> int:
    value = in_bounds(name, params.get(name, str(default)), least=1, most=most)
    if value != int(value):
        raise ConfigError(f"{name} is {value:g}; expected a whole number")
    return int(value)


def _times(params: QueryParams, first: str, last: str, *, dated: bool) -> tuple[str, str] | None:
    start, end = params.get(first), params.get(last)
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise ConfigError(f"got only one of {first} and {last}; give both, or none for all times")
    if isinstance(read_between(start, end).start, datetime) != dated:
        raise ConfigError(f"{first} is {start[:40]!r}; expected {'a date and time' if dated else 'a time of day'}")
    return start, end
