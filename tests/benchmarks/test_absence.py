"""`benchmarks/absence.py`: what is asked is really there or not, and its figures can be bad."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from objects import lives_bundle, object_features
from presences import ALWAYS, NEVER

from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.bundle import read_manifest
from wsra.runtime.grounding.grounder import Grounder

LOOKS = {"a": {("man", "red"), ("car", "blue")}, "b": {("man", "blue")}, "c": {("dog", "white")}}


@pytest.fixture
def absence(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("absence")


def annotations() -> list[Annotation]:
    rows = []
    for vid, looks in LOOKS.items():
        for kind, colour in sorted(looks):
            row = {"mentions": {"kind": kind, "colour": colour}, "unseen": vid == "c"}
            rows.append(Annotation(f"{vid}-{kind}", f"a {colour} {kind}", vid, 20.0, ((1.0, 2.0),), row))
        rows.append(Annotation(f"{vid}-x", "somebody", vid, 20.0, ((1.0, 2.0),), {"mentions": {"kind": "man"}, "unseen": False}))
    return rows


def test_absent_sentences_are_of_nobody_there(absence: ModuleType) -> None:
    queries = absence.queries_of(annotations(), LOOKS)
    assert [(one.vid, one.query) for one in queries if one.present] == [
        ("a", "a blue car"),
        ("a", "a red man"),
        ("b", "a blue man"),
        ("c", "a white dog"),
    ]
    absent = [one for one in queries if not one.present]
    assert [one.vid for one in absent] == ["a", "a", "b", "c"]
    for one in absent:
        colour, kind = one.query.split()[1:]
        assert (kind, colour) not in LOOKS[one.vid]
        assert one.hard == any((kind == k) != (colour == c) for k, c in LOOKS[one.vid])
    assert {one.query: one.hard for one in absent if one.vid == "a"} == {"a blue man": True, "a white dog": False}


def test_auroc_is_that_of_all_pairs(absence: ModuleType) -> None:
    scores = np.array([1.0, 2.0, 3.0])
    assert absence.auroc(scores + 9, scores) == 100 and absence.auroc(scores, scores + 9) == 0
    assert absence.auroc(scores, scores) == pytest.approx(50.0)
    assert absence.auroc(np.array([2.0]), np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(37.5)


def test_the_score_is_the_presence_of_the_best_life(absence: ModuleType, bundle_folder: Path, tmp_path: Path) -> None:
    manifest = read_manifest(bundle_folder)
    made = {"width": manifest.feature_width, "backbone": manifest.backbone}
    features, nothing = object_features([(0.0, 5.0), (8.0, 11.5)], **made), object_features([], **made)
    for presence in (ALWAYS, NEVER):
        bundle = lives_bundle(bundle_folder, tmp_path / str(presence.intercept), theta=0.0, presence=presence)
        with Grounder.open(bundle, precision="fp32", threads=1) as grounder:
            scores, answered = absence.best_scores(grounder, features, ["a red car"])
            assert absence.best_scores(grounder, nothing, ["a red car"]) == ([-np.inf], [False])
            assert answered == [presence is ALWAYS]
            lives = grounder.ground(features, "a red car", false_alarms=np.inf)
            assert scores == [max(life.presence for life in lives)]
