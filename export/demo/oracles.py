"""Controls that know the true events of a clip, but not all of the sentence: exact expectations, with nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsra.export.demo.controls import Control, TestSet
from wsra.train.scenes.demo.render import Sizes, plan, visible_span

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """One appearance of one actor.

    Attributes:
        kind: what it is, for example "man".
        colour: of the upper clothing, the vehicle or the coat.
        span_s: when it can be seen, in seconds.
    """

    kind: str
    colour: str
    span_s: tuple[float, float]


Events = Mapping[str, Sequence[Event]]


def events_of_test_clips(clips: int, seed: int) -> dict[str, list[Event]]:
    """The events of each test clip of a demo with `clips` test clips."""
    return {
        clip.name: [Event(actor.kind, actor.colour, visible_span(clip, actor)) for actor in clip.actors]
        for clip in plan(Sizes(0, 0, clips), seed)
    }


def event_spans(test: TestSet, events: Events) -> list[Array]:
    """For each query the spans (E, 2) of all events of its clip."""
    return [_spans(events[a.vid]) for a in test.annotations]


def oracle_controls(test: TestSet, events: Events) -> dict[str, Control]:
    """A random event, and oracles that know everything about one attribute and nothing about the rest.

    `random_event` draws one of the clip's events. `kind_only` draws one of those that have the kind that the sentence mentions, and
    `colour_only` one of those that have its colour. Both are asked the sentences that mention kind and colour; the forms with
    `_conjunctions` are asked those in which every attribute, taken alone, is also true of another event.

    Args:
        test: the queries of a demo; each row has `mentions` and `conjunction`.
        events: the events of each clip.
    """
    rows = [annotation.row for annotation in test.annotations]
    numbers = range(len(rows))
    both = [{"kind", "colour"} <= row["mentions"].keys() for row in rows]
    conjunctions = [asked and bool(row["conjunction"]) for asked, row in zip(both, rows, strict=True)]
    controls = {"random_event": test.drawn(event_spans(test, events))}
    for attribute in ("kind", "colour"):
        alike = [
            _spans([event for event in events[a.vid] if getattr(event, attribute) == a.row["mentions"].get(attribute)])
            for a in test.annotations
        ]
        controls[f"{attribute}_only"] = test.drawn(alike, asked=numbers, chosen=both)
        controls[f"{attribute}_only_conjunctions"] = test.drawn(alike, asked=numbers, chosen=conjunctions)
    return controls


def _spans(events: Sequence[Event]) -> Array:
    return np.array([event.span_s for event in events], np.float64).reshape(-1, 2)
