"""The controls against cases in which they are known, each also where it must fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from objects import object_features

from wsra.export.demo import controls
from wsra.export.demo.controls import (
    TestSet,
    chance_figures,
    control_figures,
    largest_lives,
    longest_lives,
    nearest_lives,
    other_event,
    prior_windows,
    shuffled_queries,
)
from wsra.runtime.errors import DataError
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.train.model import Scorer

SMALL, LARGE = (0.1, 0.1, 0.2, 0.2), (0.2, 0.1, 0.8, 0.9)


def video(name: str, lives_s: Sequence[tuple[float, float]], boxes: Sequence[tuple[float, float, float, float]]) -> Features:
    return object_features(lives_s, video=name, boxes=boxes, duration_s=20.0)


def row(qid: str, vid: str, window: tuple[float, float]) -> Annotation:
    return Annotation(qid, f"sentence {qid}", vid, 20.0, (window,), {})


@pytest.fixture
def test_set() -> TestSet:
    """Two events in `a`, of which the first is the larger and the second the longer one, one in `b`; in `c` nothing is tracked."""
    annotations = [row("1", "a", (4.0, 8.0)), row("2", "a", (12.0, 18.0)), row("3", "b", (4.0, 8.0)), row("4", "c", (4.0, 8.0))]
    features = {
        "a": video("a", [(4.0, 8.0), (12.0, 18.0)], [LARGE, SMALL]),
        "b": video("b", [(4.0, 8.0)], [SMALL]),
        "c": video("c", [], []),
    }
    return TestSet(annotations, features)


def found(test: TestSet, answers: list[np.ndarray]) -> list[bool]:
    """Which queries the first answer hits at IoU 0.7."""
    return [test.figures(answers, [number == query for number in range(len(answers))]).r1_iou70 == 100 for query in range(len(answers))]


def test_the_longest_life_hits_the_longer_event_only(test_set: TestSet) -> None:
    assert found(test_set, longest_lives(test_set)) == [False, True, True, False]


def test_the_largest_life_hits_the_larger_event_only(test_set: TestSet) -> None:
    assert found(test_set, largest_lives(test_set)) == [True, False, True, False]
    swapped = TestSet(test_set.annotations, {**test_set.features, "a": video("a", [(4.0, 8.0), (12.0, 18.0)], [SMALL, LARGE])})
    assert found(swapped, largest_lives(swapped)) == [False, True, True, False]


def test_largest_is_by_the_mean_of_the_rows_not_by_their_sum(test_set: TestSet) -> None:
    """The second track is half as large as the first and lives three times as long."""
    features = video("a", [(4.0, 6.0), (8.0, 14.0)], [LARGE, (0.2, 0.1, 0.5, 0.9)])
    test = TestSet([row("1", "a", (4.0, 6.0))], {"a": features})
    assert found(test, largest_lives(test)) == [True]


def test_lives_that_overlap_a_better_one_are_dropped_as_the_models_are() -> None:
    test = TestSet([row("1", "a", (4.0, 8.0))], {"a": video("a", [(4.0, 8.0), (4.0, 8.5), (9.0, 10.0)], [SMALL] * 3)})
    assert longest_lives(test)[0].tolist() == [[4.0, 8.5], [9.0, 10.0]]


def test_the_prior_is_the_window_of_training_and_the_life_nearest_to_it(test_set: TestSet) -> None:
    prior = prior_windows(test_set, [row("t", "t", (4.4, 8.4))] * 3)
    np.testing.assert_allclose(prior[0], [[0.4, 8.4]])  # the first window that hits the spans of training at IoU 0.5
    assert test_set.figures(prior).r1_iou50 == pytest.approx(75) and found(test_set, prior) == [False] * 4
    nearest = nearest_lives(test_set, prior)
    assert nearest[0].tolist() == [[4.0, 8.0]] and len(nearest[3]) == 0  # the life of 12 to 18 s does not overlap it
    assert found(test_set, nearest) == [True, False, True, False]


def test_chance_is_a_life_at_random(test_set: TestSet) -> None:
    """One of two lives in `a`, the only one in `b`, none in `c`."""
    figures = chance_figures(test_set)
    assert (figures.r1_iou70, figures.r5_iou70) == pytest.approx((100 * (0.5 + 0.5 + 1 + 0) / 4, 75.0), abs=0.01)
    assert figures.miou == pytest.approx(100 * (0.5 + 0.5 + 1 + 0) / 4, abs=0.01)


def test_controls_of_lives_need_objects(test_set: TestSet) -> None:
    starts = np.arange(20.0)
    snippets = Features(np.ones((20, 3), np.float32), np.stack([starts, starts + 1], 1), "b", 20.0, "objects")
    with pytest.raises(DataError, match="b: features of snippets, which have no lives"):
        chance_figures(TestSet(test_set.annotations, {**test_set.features, "b": snippets}))


def test_wrong_sentences_come_from_elsewhere(test_set: TestSet) -> None:
    shuffled = shuffled_queries(test_set, 0)
    assert {shuffled[0], shuffled[1]} <= {"sentence 3", "sentence 4"} and shuffled[2] in ("sentence 1", "sentence 2", "sentence 4")
    queries, there = other_event(test_set, 0)
    assert queries[:2] == ["sentence 2", "sentence 1"] and there == [True, True, False, False]


def test_a_model_is_above_all_controls_and_wrong_sentences_are_not(rows_bundle_folder: Path) -> None:
    """Other sentences find other tracks: the controls fail where the model does not."""
    from wsra.runtime.formats.annotations import read_annotations

    made = rows_bundle_folder.parent
    annotations, training = (read_annotations(made / f"spans-{split}.jsonl") for split in ("val", "train"))
    names = {annotation.vid for annotation in annotations}
    test = TestSet(annotations, {name: read_features(made / "features" / f"{name}.feat") for name in names})
    with Grounder.open(rows_bundle_folder, precision="fp32", threads=1) as grounder:
        controls = control_figures(test, grounder, training)
        model = test.figures(test.answers(grounder))
    expected = {"chance", "prior", "prior_life", "shuffled", "other_event", "longest_track", "largest_track"}
    assert controls.keys() == expected and model.r1_iou50 > 55
    assert max(figures.r1_iou50 for figures in controls.values()) < model.r1_iou50 - 20


@pytest.mark.parametrize("learned", [True, False])
def test_a_control_that_tells_nothing_apart_always_answers(
    learned: bool, rows_bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def theta_of(scorer: object, *data: object) -> float:
        if learned:
            return 1.5
        raise DataError("the scorer does not discriminate")

    with Grounder.open(rows_bundle_folder, precision="fp32", provider="cpu", threads=1) as grounder:
        manifest = grounder.manifest
        scorer = Scorer(manifest.feature_width, manifest.text_width, manifest.key_width)
        monkeypatch.setattr(controls, "load_checkpoint", lambda folder: SimpleNamespace(scorer=scorer))
        monkeypatch.setattr(controls, "theta_of", theta_of)
        control = controls.scorer_grounder(Path("run"), grounder, SimpleNamespace(val=()))  # type: ignore[arg-type]
        assert control.manifest.theta == (1.5 if learned else controls.ALWAYS)
