"""`benchmarks/presence_labels.py`: labels are true, halves share no clip, and its figures can be bad."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

from wsra.runtime.formats.presence import Presence
from wsra.train.scenes.demo.world import Actor

REST = "kind and colour here, the rest not"
STATED = Presence("captions", hours=10.0, slope=1.0, intercept=-3.0, scores=[0.0, 4.0], rates=[40.0, 0.4], tail=1.0)


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("presence_labels")


def actor(kind: Any, colour: str) -> Actor:
    return Actor(kind, colour, "", False, "walks", False, "left", 0.0, 5.0, ((0.0,), (0.0,), (0.0,)), {}, (1.0, 1.0))


def test_a_label_has_the_times_of_those_of_whom_the_sentence_is_true(labels: ModuleType) -> None:
    features: Any = {"a": type("Video", (), {"duration_s": 30.0})()}
    who = {"a": [actor("dog", "black"), actor("man", "red"), actor("dog", "black")]}
    clips = labels.Clips(features, who, {"a": [(9.0, 12.0), (4.0, 8.0), (1.0, 3.0)]}, [])
    asked = {"a black dog": {"kind": "dog", "colour": "black"}, "a white dog": {"kind": "dog", "colour": "white"}}
    pairs = [labels.Pair("a", "a black dog", labels.PRESENT, (1.0,)), labels.Pair("a", "a white dog", "kind here", (0.0,))]
    rows = labels.labels_of(clips, pairs, asked)
    assert [row["relevant_windows"] for row in rows] == [[(1.0, 3.0), (9.0, 12.0)], []]
    assert [(row["vid"], row["query"], row["duration"]) for row in rows] == [("a", "a black dog", 30.0), ("a", "a white dog", 30.0)]
    assert len({row["qid"] for row in rows}) == 2


def test_halves_share_nothing_and_a_seed_repeats_them(labels: ModuleType) -> None:
    names = [f"clip {number}" for number in range(9)]
    (one, other), (again, first) = labels.halves_of(names, np.random.default_rng(1))
    assert not one & other and sorted(one | other) == names and (again, first) == (other, one)
    assert labels.halves_of(names[::-1], np.random.default_rng(1))[0] == (one, other)


def test_labels_are_half_present_and_none_is_drawn_twice(labels: ModuleType) -> None:
    kinds = [labels.PRESENT] * 30 + ["neither"] * 40 + [REST] * 20
    pairs = [labels.Pair(str(number), "a dog", kind, ()) for number, kind in enumerate(kinds)]
    some = labels.drawn(pairs, 20, np.random.default_rng(0))
    assert len({pair.vid for pair in some}) == 20 and [pair.kind for pair in some].count(labels.PRESENT) == 10
    every = labels.drawn(pairs, 0, np.random.default_rng(0))
    assert len(every) == 70 and not any(pair.kind == REST for pair in every)


def test_false_alarms_are_those_of_the_scores(labels: ModuleType) -> None:
    """False moments as often as the table states them; twice as often; and of a table that states too few."""
    hours = {str(number): 0.5 for number in range(400)}
    rng = np.random.default_rng(0)

    def figures(presence: Presence, factor: float) -> Any:
        pairs = [labels.Pair(vid, "a dog", labels.PRESENT, (15.0,)) for vid in list(hours)[:20]]
        for vid in list(hours)[20:]:
            count = int(rng.poisson(factor * STATED.rates[0] * hours[vid]))
            pairs.append(labels.Pair(vid, "a dog", "neither", tuple(rng.exponential(4 / np.log(100), count).tolist())))
        return labels.figures_of([(presence, pairs)], hours)

    right, twice = figures(STATED, 1.0), figures(STATED, 2.0)
    assert right.recall == right.found == 100.0
    asked = cast("tuple[float, ...]", labels.RATES)
    for place in (1, 2, 3):
        assert right.rates[place] == pytest.approx(asked[place], rel=0.3) and twice.rates[place] == pytest.approx(2 * asked[place], rel=0.3)
    boasts = figures(replace(STATED, rates=[4.0, 0.04]), 1.0)
    assert boasts.rates[1] == pytest.approx(10.0, rel=0.3)
    blind = figures(replace(STATED, intercept=-30.0), 1.0)
    assert blind.found == 0.0 and blind.alone > 0.4 > right.alone
