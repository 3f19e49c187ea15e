"""The controls against cases in which they are known, each also where it must fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from objects import object_features

from wsra.export.demo.controls import (
    TestSet,
    forced,
    forced_scorer,
    largest_lives,
    last_scorer,
    life_controls,
    longest_lives,
    nearest_lives,
    other_event,
    own_sentences,
    prior_windows,
    sentence_controls,
    shuffled_queries,
)
from wsra.runtime.errors import DataError
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.train.checkpoint import load_checkpoint
from wsra.train.config import read_run
from wsra.train.run import permuted, prepare, train

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
    assert nearest[0].tolist() == [[4.0, 8.0], [12.0, 18.0]] and len(nearest[3]) == 0  # in `c` nothing is tracked
    assert found(test_set, nearest) == [True, False, True, False]


def test_chance_is_a_life_at_random(test_set: TestSet) -> None:
    """One of two lives in `a`, the only one in `b`, none in `c`."""
    figures = test_set.drawn(test_set.lives).figures
    assert (figures.r1_iou70, figures.r5_iou70) == pytest.approx((100 * (0.5 + 0.5 + 1 + 0) / 4, 75.0), abs=0.01)
    assert figures.miou == pytest.approx(100 * (0.5 + 0.5 + 1 + 0) / 4, abs=0.01)


def test_controls_of_lives_need_objects(test_set: TestSet) -> None:
    starts = np.arange(20.0)
    snippets = Features(np.ones((20, 3), np.float32), np.stack([starts, starts + 1], 1), "b", 20.0, "objects")
    with pytest.raises(DataError, match="b: features of snippets, which have no lives"):
        life_controls(TestSet(test_set.annotations, {**test_set.features, "b": snippets}), [row("t", "t", (4.0, 8.0))])


def test_wrong_sentences_come_from_elsewhere(test_set: TestSet) -> None:
    shuffled = shuffled_queries(test_set, 0)
    assert {shuffled[0], shuffled[1]} <= {2, 3} and shuffled[2] in (0, 1, 3)
    numbers, there = other_event(test_set, 0)
    assert numbers[:2] == [1, 0] and there == [True, True, False, False]


def test_the_nearest_life_is_the_closest_one_where_none_overlaps() -> None:
    test = TestSet([row("1", "a", (4.0, 8.0))], {"a": video("a", [(0.0, 1.0), (9.0, 10.0), (15.0, 18.0)], [SMALL] * 3)})
    assert nearest_lives(test, [np.array([[11.0, 13.0]])])[0].tolist() == [[9.0, 10.0], [15.0, 18.0], [0.0, 1.0]]


def made_set(folder: Path) -> tuple[TestSet, list[Annotation]]:
    """The validation split of the features beside the bundle, and the training annotations."""
    annotations, training = (read_annotations(folder / f"spans-{split}.jsonl") for split in ("val", "train"))
    names = {annotation.vid for annotation in annotations}
    return TestSet(annotations, {name: read_features(folder / "features" / f"{name}.feat") for name in names}), training


def test_a_model_is_above_all_controls_and_wrong_sentences_are_not(rows_bundle_folder: Path) -> None:
    """Other sentences find other tracks: the controls fail where the model does not."""
    test, training = made_set(rows_bundle_folder.parent)
    with Grounder.open(rows_bundle_folder, precision="fp32", threads=1) as grounder:
        text = grounder.encoder.encode([a.query for a in test.annotations])
        controls = {**life_controls(test, training), **sentence_controls(test, grounder, text)}
        model, always = test.ranked(test.answers(grounder)), own_sentences(test, forced(grounder), text)
    assert model.figures.r1_iou50 > 55 and always.figures.r1_iou50 >= model.figures.r1_iou50
    assert max(control.figures.r1_iou50 for control in controls.values()) < model.figures.r1_iou50 - 20
    empty = sum(len(lives) == 0 for lives in test.lives)  # in the first video nothing moves
    forced_ones = [always, *(control for name, control in controls.items() if name not in ("prior", "shuffled", "other_event"))]
    assert empty > 0 and {control.unanswered for control in forced_ones} == {empty}
    assert controls["shuffled"].unanswered > empty and controls["other_event"].unanswered <= empty


def test_forced_answers_are_those_it_gives_by_itself_and_more(rows_bundle_folder: Path) -> None:
    test, _ = made_set(rows_bundle_folder.parent)
    with Grounder.open(rows_bundle_folder, precision="fp32", threads=1) as grounder:
        found, always = test.answers(grounder), test.answers(forced(grounder))
    assert all(np.array_equal(few, many[: len(few)]) for few, many in zip(found, always, strict=True))
    assert sum(map(len, always)) > sum(map(len, found))


def test_the_permuted_run_is_read_after_its_last_epoch(rows_bundle_folder: Path, tmp_path: Path) -> None:
    """The best epoch on validation is the draw's; the last has learned the wrong captions. Neither finds events; the right captions do."""
    made = rows_bundle_folder.parent
    test, _ = made_set(made)
    run = read_run(made / "run.toml", ["training.epochs=15"])
    prepared = prepare(run, tmp_path / "cache")
    for seed in range(3, 9):  # by chance the last epoch of a permuted run may be its best one, too
        folder = tmp_path / f"permuted-{seed}"
        train(run, folder, permuted(prepared, seed))
        last, best = last_scorer(folder), load_checkpoint(folder).scorer
        if not np.array_equal(last.video.weight.detach().numpy(), best.video.weight.detach().numpy()):
            break
    else:
        pytest.fail("the last epoch of every permuted run is read as its best one")
    with Grounder.open(rows_bundle_folder, precision="fp32", threads=1) as grounder:
        text = grounder.encoder.encode([a.query for a in test.annotations])
        wrong = own_sentences(test, forced_scorer(last, grounder), text)
        right = own_sentences(test, forced_scorer(load_checkpoint(made / "runs" / "tiny").scorer, grounder), text)
    chance = test.drawn(test.lives).figures.r1_iou50
    assert chance / 2 < wrong.figures.r1_iou50 < chance + 20 < right.figures.r1_iou50
    assert wrong.unanswered == sum(len(lives) == 0 for lives in test.lives)
