"""`benchmarks/presence.py`: what counts as present or absent is really so, and its figures can be bad."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wsra.train.scenes.demo.world import Actor


@pytest.fixture
def presence(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("presence")


def actor(kind: Any, colour: str, direction: Any = "left") -> Actor:
    return Actor(kind, colour, "", False, "walks", False, direction, 0.0, 5.0, ((0.0,), (0.0,), (0.0,)), {}, (1.0, 1.0))


@pytest.mark.parametrize(
    ("actors", "kind"),
    [
        ([], "neither"),
        ([actor("man", "red")], "neither"),
        ([actor("dog", "white")], "kind here"),
        ([actor("man", "black")], "colour here"),
        ([actor("man", "black"), actor("dog", "white")], "both, on different actors"),
        ([actor("dog", "black", "right"), actor("man", "red")], "kind and colour here, the rest not"),
        ([actor("dog", "black", "right"), actor("dog", "black")], "present"),
    ],
)
def test_a_sentence_is_sorted_by_who_is_there(presence: ModuleType, actors: list[Actor], kind: str) -> None:
    assert presence.kind_of({"kind": "dog", "colour": "black", "direction": "left"}, actors) == kind
    assert presence.kind_of(None, actors) == "out of vocabulary"


def test_the_calibration_error_is_that_of_the_claims(presence: ModuleType) -> None:
    def error(claims: list[tuple[float, bool]]) -> float:
        printed, error = presence.reliability(claims)
        assert f"ECE {error:.3f}" in printed
        return float(error)

    chance = np.random.default_rng(0).uniform(size=20_000)
    true = np.random.default_rng(1).uniform(size=len(chance)) < chance
    assert error(list(zip(chance.tolist(), true.tolist(), strict=True))) < 0.02
    assert error(list(zip(chance.tolist(), (~true).tolist(), strict=True))) > 0.4
    assert error([(1.0, True)] * 3 + [(0.0, False)]) == 0.0
    assert error([(0.9, True), (0.9, False), (0.9, False), (0.9, False)]) == pytest.approx(0.4)  # both weigh as much
