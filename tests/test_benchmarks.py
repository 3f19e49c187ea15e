"""Benchmarks are run by hand: here it is checked that what they take from wsra is there, and that a trial of the planted one works."""

from __future__ import annotations

import ast
import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from wsra.runtime.annotations import Annotation
from wsra.train.planted import Difficulty, write_planted
from wsra.train.planted_sets import Splits
from wsra.train.text import load_encoder

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
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
    assert len(result["val"]) == 5 and all(figures["queries"] == 24 for figures in result["val"].values())
    best = result["test"][result["form"]]
    assert best["r1_iou50"] > result["shuffled"]["r1_iou50"] + 20 and best["queries"] == 24
    controls = run.controls("tiny", tmp_path)
    assert {plan: sorted(found) for plan, found in controls.items()} == {
        plan: ["chance", "prior", "prior_window"] for plan in ("relative", "seconds")
    }
