"""A degenerate control fails its checks, and a sound one passes them: a world of 40 clips in which everything is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from objects import object_features

from wsra.export.demo.checks import CHECKS, Known, failed_checks
from wsra.export.demo.controls import Control, TestSet, life_controls, other_event, shuffled_queries
from wsra.export.demo.oracles import Event, Events, event_spans, oracle_controls
from wsra.runtime.formats.annotations import Annotation

KINDS, COLOURS = ("man", "dog", "van"), ("red", "blue", "green")
Array = np.ndarray


def world(clips: int = 40) -> tuple[TestSet, Events]:
    """Clips of 60 s with four or five events that do not overlap, half a second shorter than their lives; each event has a sentence."""
    rng = np.random.default_rng(0)
    annotations, events, features = [], {}, {}
    for number in range(clips):
        name, count = f"clip{number}", int(rng.integers(4, 6))
        starts = np.arange(count) * 11 + rng.uniform(0, 2, count)
        lives = [(float(start), float(start + length)) for start, length in zip(starts, rng.uniform(4, 9, count), strict=True)]
        looks = [(KINDS[place % 2], COLOURS[(place // 2) % 3]) for place in rng.permutation(count)]
        events[name] = [Event(kind, colour, (a, b - 0.5)) for (kind, colour), (a, b) in zip(looks, lives, strict=True)]
        features[name] = object_features(lives, video=name, seed=number)
        for event in events[name]:
            mentions = {"kind": event.kind, "colour": event.colour}
            row = {"mentions": mentions, "conjunction": True, "unseen": False}
            qid = f"{name}-{event.span_s[0]:.1f}"
            annotations.append(Annotation(qid, f"a {event.colour} {event.kind}", name, 60.0, (event.span_s,), row))
    return TestSet(annotations, features), events


def own_lives(test: TestSet, asked: Sequence[int]) -> list[Array]:
    """A model that knows everything: the life of the event that a sentence is about if it is of the clip, else a life by the sentence."""
    found = []
    for query, number in enumerate(asked):
        lives, about = test.lives[query], test.annotations[number]
        if about.vid == test.annotations[query].vid:
            found.append(lives[np.abs(lives[:, 0] - about.windows_s[0][0]) < 0.1])
        else:
            found.append(lives[[number * 7919 % 101 % len(lives)]])
    return found


@pytest.fixture(scope="module")
def sound() -> tuple[dict[str, Control], Known]:
    """Every control of the demo, and what the checks compare with."""
    test, events = world()
    numbers = list(range(len(test.annotations)))
    shuffled, (others, there) = shuffled_queries(test, 0), other_event(test, 0)
    strangers = own_lives(test, shuffled)
    refused = [spans[:0] if number % 3 else spans for number, spans in enumerate(strangers)]
    # A scorer that has learned wrong captions: it prefers some life for each sentence, for no reason.
    rng = np.random.default_rng(1)
    learned_wrong = [lives[rng.integers(len(lives))][None] for lives in test.lives]
    model = test.ranked(own_lives(test, numbers), asked=numbers)
    controls = {
        **oracle_controls(test, events),
        **life_controls(test, test.annotations),
        "shuffled": test.ranked(refused, asked=shuffled),
        "shuffled_forced": test.ranked(strangers, asked=shuffled),
        "other_event": test.ranked(own_lives(test, others), asked=others, chosen=there),
        "shuffled_training": test.ranked(learned_wrong, asked=numbers),
        "skyline": model,
    }
    return controls, Known(test, event_spans(test, events), test.annotations, controls["prior"], model, model)


def always_empty(test: TestSet, known: Known) -> list[Array]:
    return [np.zeros((0, 2))] * len(test.annotations)


def always_the_whole_clip(test: TestSet, known: Known) -> list[Array]:
    return [np.array([[0.0, a.duration_s]]) for a in test.annotations]


def always_the_first_life(test: TestSet, known: Known) -> list[Array]:
    return [lives[:1] for lives in test.lives]


def always_the_first_event(test: TestSet, known: Known) -> list[Array]:
    return [spans[:1] for spans in known.events]


def test_every_control_has_checks_and_passes_them(sound: tuple[dict[str, Control], Known]) -> None:
    controls, known = sound
    assert controls.keys() == CHECKS.keys()
    assert failed_checks(controls, known) == []


@pytest.mark.parametrize("degenerate", [always_empty, always_the_whole_clip, always_the_first_life, always_the_first_event])
@pytest.mark.parametrize("name", CHECKS)
def test_a_degenerate_control_fails(
    name: str, degenerate: Callable[[TestSet, Known], list[Array]], sound: tuple[dict[str, Control], Known]
) -> None:
    controls, known = sound
    control = controls[name]
    answers = degenerate(known.test, known)
    spoiled = known.test.ranked(answers, asked=control.asked, chosen=control.chosen)
    assert [message.partition(":")[0] for message in failed_checks({**controls, name: spoiled}, known)] != []
    assert all(message.startswith(f"{name}: ") for message in failed_checks({**controls, name: spoiled}, known))


@pytest.mark.parametrize("name", ["shuffled_forced", "shuffled_training"])
def test_a_control_that_finds_the_events_fails(name: str, sound: tuple[dict[str, Control], Known]) -> None:
    """Wrong sentences or captions must not find events: if they do, something else than the sentence gives events away."""
    controls, known = sound
    leaking = replace(known.model, asked=controls[name].asked)
    (message,) = failed_checks({name: leaking}, known)
    assert message.startswith(f"{name}: R@1 at IoU 0.5 is ") and message.endswith("points above a random life; expected the same")


def test_a_control_that_never_finds_the_event_fails(sound: tuple[dict[str, Control], Known]) -> None:
    known = sound[1]
    test = known.test
    wrong = [lives[np.abs(lives[:, 0] - truth[0, 0]) > 0.1][:2][::-1][:1] for lives, truth in zip(test.lives, test.truths, strict=True)]
    assert any(
        "below a random life" in message
        for message in failed_checks({"shuffled_training": test.ranked(wrong, asked=range(len(wrong)))}, known)
    )


def test_wrong_sentences_that_are_all_refused_or_all_answered_fail(sound: tuple[dict[str, Control], Known]) -> None:
    controls, known = sound
    (message,) = failed_checks({"shuffled": controls["shuffled_forced"]}, known)
    assert message == "shuffled: 0 % of wrong sentences have no answer, 0 % of true ones; expected more, but not all"


def test_another_event_that_the_model_does_not_find_fails(sound: tuple[dict[str, Control], Known]) -> None:
    controls, known = sound
    deaf = replace(controls["shuffled_training"], asked=controls["other_event"].asked)
    (message,) = failed_checks({"other_event": deaf}, known)
    assert "do not fit the events that the sentences are about" in message


def test_a_skyline_below_the_model_fails(sound: tuple[dict[str, Control], Known]) -> None:
    controls, known = sound
    (message,) = failed_checks({"skyline": controls["shuffled_training"]}, known)
    assert "points of R@1 below the model trained without spans" in message


def test_a_window_that_fits_worse_fails(sound: tuple[dict[str, Control], Known]) -> None:
    known = sound[1]
    tiny = known.test.ranked([np.array([[0.0, 0.6]])] * len(known.test.annotations))
    (message,) = failed_checks({"prior": tiny}, known)
    assert message.startswith("prior: the window hits 0.0 % of the training spans; another one hits ")


def test_a_random_life_that_leaves_lives_out_fails(sound: tuple[dict[str, Control], Known]) -> None:
    known = sound[1]
    (message,) = failed_checks({"chance": known.test.drawn([lives[1:] for lives in known.test.lives])}, known)
    assert message == f"chance: not every candidate of {len(known.test.annotations)} queries has a chance"
