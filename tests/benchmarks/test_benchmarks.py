"""Benchmarks are run by hand: here it is checked that what they take from wsra is there, and that a trial of the planted one works."""

from __future__ import annotations

import ast
import importlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planter import Difficulty, write_planted
from splits import Splits
from wsra.runtime.formats.annotations import Annotation
from wsra.train.text import load_encoder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
THINGS = ("a dog", "the red car", "an old woman", "two children", "a police officer", "the cashier")
DEEDS = ("runs across the street", "falls asleep", "eats a sandwich", "opens the door")


@pytest.mark.parametrize("path", sorted(BENCHMARKS.rglob("*.py")), ids=lambda p: p.relative_to(BENCHMARKS).as_posix())
def test_what_a_benchmark_imports_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsra."):
            module = importlib.import_module(str(node.module))
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{node.module} has no {missing}"


def _annotations(split: str, videos: int) -> list[Annotation]:
    """Two sentences a video, 10 s each of 30 s."""
    sentences = [f"{thing} {deed}" for thing in THINGS for deed in DEEDS]
    return [
        Annotation(f"{split}{v}-{part}", sentences[(7 * v + 11 * part) % 24], f"{split}{v}", 30.0, ((15.0 * part, 15.0 * part + 10),), {})
        for v in range(videos)
        for part in (0, 1)
    ]


def test_a_trial_of_the_planted_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "planted"))
    run, trials = importlib.import_module("run"), importlib.import_module("trials")
    test = _annotations("test", 12)
    test[0] = replace(test[0], query="nobody is in the room")  # the only one that training has not seen
    splits = Splits(_annotations("train", 40), _annotations("val", 12), test)
    text = load_encoder("minilm", "mean").encode([a.query for split in (splits.train, splits.val, splits.test) for a in split])
    write_planted(tmp_path / "tiny", splits, text.numpy(), Difficulty(signal=1.0, traces_per_minute=6.0))
    settings = {"training.batch": 8, "training.learning_rate": 1e-2, "sampling.first": 0, "sampling.last": 0}
    result = run.result(trials.Trial("tiny", "skyline", settings), tmp_path, tmp_path / "run")
    assert len(result["val"]) == 6 and all(figures["queries"] == 24 for figures in result["val"].values())
    best = result["test"][result["form"]]
    assert best["r1_iou50"] > result["shuffled"]["r1_iou50"] + 20 and best["queries"] == 24
    controls = run.controls("tiny", tmp_path)
    assert {plan: sorted(found) for plan, found in controls.items()} == {
        plan: ["chance", "prior", "prior_window"] for plan in ("relative", "seconds")
    }


def test_ceilings_of_tracks_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that pass one another: tracks as they are, one that changes over in the middle, one of nothing, and none."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "tracking"))
    ceilings, followers, truth = (importlib.import_module(name) for name in ("ceilings", "followers", "truth"))
    times = np.arange(0, 8, 0.25)
    right = np.stack([times / 10, np.full(32, 0.5), times / 10 + 0.1, np.full(32, 0.8)], axis=1)
    left = right[::-1]
    events = [truth.Event((0.0, 8.0), times, right), truth.Event((0.0, 8.0), times, left)]
    seconds = np.arange(8.0)
    rows_s, boxes = np.stack([seconds, seconds + 1], axis=1), [right.reshape(8, 4, 4).mean(axis=1), left.reshape(8, 4, 4).mean(axis=1)]

    def found(of_row: list[int], lives: list[tuple[float, float]]) -> object:
        return followers.Found(np.array(lives), np.array(of_row, np.int32), np.concatenate([rows_s, rows_s]), np.concatenate(boxes))

    true = found([0] * 8 + [1] * 8, [(0, 8), (0, 8)])
    assert ceilings.best_ious(true, events) == [1.0, 1.0]
    assert ceilings.identities(true, events) == {"switches": 0, "fragments": 2, "nuisance": 0, "mixed": 0}
    changed = found([0] * 4 + [1] * 4 + [1] * 4 + [0] * 4, [(0, 8), (0, 8)])
    assert ceilings.identities(changed, events) == {"switches": 2, "fragments": 4, "nuisance": 0, "mixed": 2}
    broken = found([0] * 4 + [1] * 4 + [2] * 8, [(0, 4), (4, 8), (0, 6)])
    assert ceilings.best_ious(broken, events) == [0.75, 0.75]
    assert ceilings.identities(broken, events) == {"switches": 1, "fragments": 3, "nuisance": 0, "mixed": 0}
    elsewhere = followers.Found(np.array([[0.0, 8.0]]), np.zeros(1, np.int32), np.array([[0.0, 1.0]]), np.array([[0.8, 0.0, 0.9, 0.1]]))
    assert ceilings.identities(elsewhere, events) == {"switches": 0, "fragments": 0, "nuisance": 1, "mixed": 0}
    nothing = followers.Found(np.zeros((0, 2)), np.zeros(0, np.int32), np.zeros((0, 2)), np.zeros((0, 4)))
    assert ceilings.best_ious(nothing, events) == [0.0, 0.0]


def test_hard_clips_are_of_every_sort_and_say_where_their_actors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "tracking"))
    hard, truth = importlib.import_module("hard"), importlib.import_module("truth")
    films = truth.hard_films(len(hard.SORTS), seed=5)
    assert [film.sort for film in films] == list(hard.SORTS)
    for film in films:
        assert len(film.events) >= 5 and all(0 <= event.span_s[0] < event.span_s[1] <= film.duration_s for event in film.events)
        assert all(((event.boxes >= 0) & (event.boxes <= 1)).all() and len(event.boxes) == len(event.times_s) for event in film.events)
    crossing = films[hard.SORTS.index("crossing")]
    frames = list(itertools.islice(crossing.read(), 80))
    empty = np.median([frame.image for frame in frames[:8]], axis=0)
    event = crossing.events[0]
    middle = len(event.times_s) // 2
    (frame,) = [frame for frame in frames if abs(frame.time_s - event.times_s[middle]) < 0.13][:1]
    left, top, right, bottom = (event.boxes[middle] * [320, 240, 320, 240]).astype(int)
    changed = np.abs(frame.image - empty).max(axis=2) > 40
    assert changed[top:bottom, left:right].mean() > 0.3 > 10 * changed[: top - 5].mean()
