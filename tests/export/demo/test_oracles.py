"""Oracles that know the events of a clip, on events that are known."""

from __future__ import annotations

import pytest
from objects import object_features

from wsra.export.demo.controls import TestSet
from wsra.export.demo.oracles import Event, event_spans, events_of_test_clips, oracle_controls
from wsra.runtime.formats.annotations import Annotation
from wsra.train.scenes.demo.render import Sizes, caption_clip, plan

EVENTS = [
    Event("man", "red", (0.0, 4.0)),
    Event("man", "blue", (5.0, 8.0)),
    Event("dog", "red", (9.0, 12.0)),
    Event("van", "red", (13.0, 19.0)),
]


def query(number: int, mentions: dict[str, str], *, conjunction: bool) -> Annotation:
    row = {"mentions": mentions, "conjunction": conjunction, "unseen": False}
    return Annotation(str(number), f"sentence {number}", "a", 20.0, (EVENTS[number].span_s,), row)


@pytest.fixture
def test_set() -> TestSet:
    annotations = [
        query(0, {"kind": "man", "colour": "red"}, conjunction=True),
        query(1, {"kind": "man", "colour": "blue"}, conjunction=False),
        query(2, {"kind": "dog", "colour": "red"}, conjunction=False),
        query(3, {"kind": "van"}, conjunction=False),
    ]
    return TestSet(annotations, {"a": object_features([event.span_s for event in EVENTS], video="a", duration_s=20.0)})


def test_expectations_over_ties_by_hand(test_set: TestSet) -> None:
    controls = oracle_controls(test_set, {"a": EVENTS})
    found = {name: (control.figures.queries, control.figures.r1_iou50) for name, control in controls.items()}
    assert found == {
        "random_event": (4, pytest.approx(25.0)),
        "kind_only": (3, pytest.approx(100 * (1 / 2 + 1 / 2 + 1) / 3, abs=1e-3)),  # two men, one dog; "van" mentions no colour
        "kind_only_conjunctions": (1, pytest.approx(50.0)),
        "colour_only": (3, pytest.approx(100 * (1 / 3 + 1 + 1 / 3) / 3, abs=1e-3)),  # three in red, one in blue
        "colour_only_conjunctions": (1, pytest.approx(100 / 3, abs=1e-3)),
    }
    assert all(control.unanswered == 0 for control in controls.values())
    assert controls["colour_only"].first[1].tolist() == [[5.0, 8.0]]


def test_events_that_overlap_enough_count_as_hits(test_set: TestSet) -> None:
    """Another man is there nearly as long as the first: drawing him hits too."""
    events = [EVENTS[0], Event("man", "blue", (0.0, 3.0)), *EVENTS[2:]]
    figures = oracle_controls(test_set, {"a": events})["kind_only_conjunctions"].figures
    assert (figures.r1_iou70, figures.miou) == pytest.approx((100.0, 87.5), abs=1e-3)


def test_the_events_are_those_that_the_annotations_describe() -> None:
    """The spans of the sentences are spans of events that have the kind and the colour that they mention."""
    events = events_of_test_clips(3, 7)
    clips = plan(Sizes(0, 0, 3), 7)
    rows = [row for clip in clips for row in caption_clip(clip)]
    assert len(rows) > 6 and list(events) == [clip.name for clip in clips]
    for row in rows:
        (event,) = [event for event in events[row["vid"]] if list(event.span_s) == row["relevant_windows"][0]]
        assert event.kind == row["mentions"]["kind"] and event.colour == row["mentions"].get("colour", event.colour)
    test = TestSet([Annotation(row["qid"], row["query"], row["vid"], row["duration"], (), row) for row in rows], {})
    assert [len(spans) for spans in event_spans(test, events)] == [len(events[row["vid"]]) for row in rows]
