"""`benchmarks/demo_recipes.py`: settings are chosen by the rule that it states, and its trials are real."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from objects import object_features

from tiny import make_rows_run
from wsra.export.demo.controls import TestSet
from wsra.runtime.formats.annotations import Annotation
from wsra.train.model import Scorer


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("demo_recipes")


def test_the_best_value_on_validation_stays_and_of_equal_ones_the_first(recipes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def trial(demo: Any, out: Any, recipe: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
        tried.append((settings["loss.margin"], settings["training.epochs"], seed))
        return {"val": {"r1_iou50": 50 + (settings["loss.margin"] == 0.2) - (settings["training.epochs"] == 40)}}

    monkeypatch.setattr(recipes, "trial", trial)
    values = {"loss.margin": [0.5, 0.2, 0.1], "training.epochs": [10, 20, 40]}
    chosen = recipes.chosen_settings(None, Path(), "tga", values, 5)
    assert chosen == {**recipes.BASE["tga"], "loss.margin": 0.2, "training.epochs": 10}
    assert tried == [(0.5, 20, 5), (0.2, 20, 5), (0.1, 20, 5), (0.2, 10, 5), (0.2, 20, 5), (0.2, 40, 5)]


def test_the_skyline_has_no_margin_and_no_temperature(recipes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[dict[str, Any]] = []
    monkeypatch.setattr(recipes, "trial", lambda demo, out, recipe, settings, seed: tried.append(settings) or {"val": {"r1_iou50": 1.0}})
    recipes.chosen_settings(None, Path(), "skyline", recipes.VALUES, 0)
    assert len(tried) == 3 + 2 + 2 + 2 and not any("loss.margin" in one or "loss.temperature" in one for one in tried)


def test_the_papers_recipe_differs_from_ours_in_its_losses(recipes: ModuleType, tmp_path: Path) -> None:
    ours, paper = (recipes.run_of(tmp_path, recipe, recipes.BASE[recipe], 3) for recipe in ("ours", "paper"))
    assert ours.data == paper.data and ours.text == paper.text and ours.training == paper.training and ours.sampling == paper.sampling
    assert paper.loss.contrast == 0 and not paper.loss.instance_scaled and ours.loss.contrast > 0 and ours.training.seed == 3


def test_text_guided_attention_is_read_by_cosines_over_its_temperature(recipes: ModuleType) -> None:
    """Two lives: one has the sentence in one row of two, the other has half of it in all rows. A low temperature prefers the former."""
    torch.manual_seed(0)
    scorer = Scorer(2, 2, 2)
    with torch.no_grad():
        scorer.video.weight.copy_(torch.eye(2))
        scorer.text.weight.copy_(torch.eye(2))
        scorer.text.bias.zero_()
    features = object_features([(0.0, 2.0), (4.0, 6.0)], width=2, video="a", duration_s=10.0)
    values = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.6, 0.8]], np.float16)
    features = type(features)(values, features.times_s, "a", 10.0, "objects", tracks=features.tracks)
    test = TestSet([Annotation("1", "a", "a", 10.0, ((0.0, 2.0),), {})], {"a": features})
    text = torch.tensor([[1.0, 0.0]])
    firsts = [recipes.answered(scorer, test, text, temperature=temperature)[0][0].tolist() for temperature in (0.1, 1.0, 100.0)]
    assert firsts == [[0.0, 2.0], [0.0, 2.0], [4.0, 6.0]]
    assert len(recipes.answered(scorer, test, text, temperature=None)[0]) == 2  # answers are forced


@pytest.fixture
def demo_folder(tmp_path: Path) -> Path:
    """A small set of rows of objects under the names of a demo's files."""
    make_rows_run(tmp_path)
    for split in ("train", "val"):
        shutil.copy(tmp_path / f"{split}.jsonl", tmp_path / f"captions-{split}.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "spans-val.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({**row, "unseen": number % 4 == 0}) + "\n" for number, row in enumerate(rows))
    (tmp_path / "spans-test.jsonl").write_text(text)
    return tmp_path


@pytest.mark.parametrize("recipe", ["ours", "tga", "paper", "skyline"])
def test_a_trial_is_trained_once_and_reads_test_spans_last(recipes: ModuleType, demo_folder: Path, recipe: str) -> None:
    out = demo_folder / "out"
    demo = recipes.open_demo(demo_folder, out / "text-cache")
    settings = {**recipes.BASE[recipe], "training.epochs": 12, "training.key_width": 32, "training.learning_rate": 1e-2}
    hidden = (demo_folder / "spans-test.jsonl").rename(demo_folder / "hidden.jsonl")
    result = recipes.trial(demo, out, recipe, settings, 0)
    assert result["val"]["queries"] == 60 and result["val"]["unanswered"] == 2 and result["val"]["r5_iou50"] > 90
    if recipe != "paper":  # its instance loss is all but flat with so few rows
        assert result["val"]["r1_iou50"] > 45  # a random life has about 25
    hidden.rename(demo_folder / "spans-test.jsonl")
    measured = recipes.tested(demo, out, recipe, settings, 0)
    assert measured["test"] == result["val"]  # the same queries here
    assert (measured["seen"]["queries"], measured["unseen"]["queries"]) == (45, 15)
    path = out / f"{recipes.name_of(recipe, settings, 0)}.json"
    path.write_text(json.dumps({**result, "cpu_s": -1}))
    assert recipes.trial(demo, out, recipe, settings, 0)["cpu_s"] == -1  # read, not trained again
    assert recipes.row(recipe, settings, [measured]).startswith(f"| {recipe} | ")
