"""Trains four recipes on a demo's folder, each tuned in the same way: wsra's, text-guided attention, the paper's, and the skyline.

    python benchmarks/demo_recipes.py DEMO -o OUT [--recipes ours tga] [--seeds 0 1 2] [--values 'loss.margin=[0.1, 0.2]' ...]

DEMO is a folder of `wsra demo`. The rule by which settings are chosen was written before the first trial:

1. A recipe starts from its base (`BASE`). Its settings are taken in the order of `VALUES`, or of --values. The skyline has no margin and no
   temperature, so these are left out.
2. Every value of a setting is trained with the first seed, with the settings before it as chosen and those after it as in the base. Each
   trial keeps the epoch with the best match on the validation captions, as `wsra train` does.
3. The value with the highest R@1 at IoU 0.5 on the validation spans (spans-val.jsonl) stays. Of equal ones, the first of the list stays.
4. The chosen settings are trained with every seed. Only then are the test spans read.

Answers are forced: every life counts, whatever its score. A life's score is the logarithm of the mean of exp(x) over its rows, as in wsra;
x is the logit, or for text-guided attention the cosine over its temperature, the logit of its attention. Pairs never seen are the test
sentences whose pair of kind and colour does not occur in training. All recipes have the demo's text vectors. The paper's recipe is
configs/paper.toml with rows of objects in place of pooled windows, and with as many drawn negatives as wsra's.

Each trial writes one JSON under OUT and is skipped if it exists; an interrupted trial resumes at its last epoch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from wsra.export.demo.controls import TestSet
from wsra.runtime.evaluation.controls import lives_of
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.annotations import read_annotations
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.lives import best_lives
from wsra.runtime.terminal.console import print_message
from wsra.train.checkpoint import LAST, load_checkpoint
from wsra.train.config import Run, run_from_table
from wsra.train.data import CaptionedVideos
from wsra.train.loop import fit
from wsra.train.objective import CaptionObjective, Objective
from wsra.train.run import TrainingSets, prepare
from wsra.train.spans import SpanObjective, shares_inside
from wsra.train.text import cached_vectors, load_encoder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

sys.path.insert(0, str(Path(__file__).parent / "planted"))
from tga import TextGuidedObjective, cosines

Settings = dict[str, Any]  # section.key -> value
PAPER = Path(__file__).parents[1] / "configs" / "paper.toml"
RECIPES = ("ours", "tga", "paper", "skyline")
NEGATIVES = 12
COMMON: Settings = {
    "training.learning_rate": 1e-3,
    "loss.margin": 0.5,
    "training.key_width": 128,
    "training.epochs": 20,
    "training.feature_noise": 0.0,
}
BASE: dict[str, Settings] = {
    "ours": {**COMMON, "loss.temperature": 0.25},
    "tga": {**COMMON, "loss.temperature": 1.0},
    "paper": {**COMMON, "loss.temperature": 1.0},
    "skyline": {key: value for key, value in COMMON.items() if key != "loss.margin"},
}
VALUES: dict[str, list[Any]] = {
    "training.learning_rate": [1e-3, 3e-3, 3e-4],
    "loss.margin": [0.5, 0.3, 0.2, 0.1],
    "loss.temperature": [1.0, 0.5, 0.25, 0.1],
    "training.key_width": [128, 256],
    "training.epochs": [20, 40],
    "training.feature_noise": [0.0, 0.5],
}


@dataclass(frozen=True)
class Demo:
    """A demo's folder as all recipes read it.

    Attributes:
        folder: the folder.
        prepared: training and validation set, with text vectors.
        shares: of the training and of the validation captions, for the skyline.
    """

    folder: Path
    prepared: TrainingSets
    shares: dict[str, list[torch.Tensor]]

    def labelled(self, split: str, cache: Path) -> tuple[TestSet, torch.Tensor]:
        """The queries of a split with their spans and text vectors (Q, Dt)."""
        annotations = read_annotations(self.folder / f"spans-{split}.jsonl")
        names = {annotation.vid for annotation in annotations}
        features = {name: read_features(self.folder / "features" / f"{name}.feat") for name in names}
        vectors = cached_vectors(load_encoder("minilm", "mean"), [a.query for a in annotations], cache)
        return TestSet(annotations, features), vectors


def run_of(folder: Path, recipe: str, settings: Settings, seed: int) -> Run:
    """The run of a trial: the recipe with the given settings."""
    table: dict[str, Any] = {}
    if recipe == "paper":
        table = tomllib.loads(PAPER.read_text(encoding="utf-8"))
        table["sampling"]["draws"] = NEGATIVES
        table["text"] = {}
    files = {"captions": "captions-train.jsonl", "val_captions": "captions-val.jsonl", "features": "features"}
    table["data"] = {key: str(folder / name) for key, name in files.items()}
    for key, value in {**settings, "training.seed": seed, "training.threads": 1}.items():
        section, _, name = key.partition(".")
        table.setdefault(section, {})[name] = value
    return run_from_table(table, f"{recipe} of {folder}")


def open_demo(folder: Path, cache: Path) -> Demo:
    """Read a demo's folder."""
    prepared = prepare(run_of(folder, "ours", BASE["ours"], 0), cache)

    def shares(data: CaptionedVideos, split: str) -> list[torch.Tensor]:
        return shares_inside(data, read_annotations(folder / f"spans-{split}.jsonl"))

    return Demo(folder, prepared, {"train": shares(prepared.train[0], "train"), "val": shares(prepared.val[0], "val")})


def objectives(recipe: str, run: Run, demo: Demo) -> tuple[Objective, Objective]:
    """The training and the validation objective of a recipe."""
    if recipe == "skyline":
        return SpanObjective(demo.shares["train"], run.sampling), SpanObjective(demo.shares["val"], run.sampling)
    if recipe == "tga":
        guided = TextGuidedObjective(run.loss.margin, run.loss.temperature)
        return guided, guided
    weak = CaptionObjective(run.loss, run.sampling)
    return weak, weak


@torch.no_grad()
def answered(scorer: Any, test: TestSet, text: torch.Tensor, *, temperature: float | None) -> list[np.ndarray]:
    """Forced answers (n, 2) of a scorer to each query: by logits, or by cosines over a temperature."""
    answers: list[np.ndarray] = [np.zeros((0, 2))] * len(test.annotations)
    for vid, features in test.features.items():
        lives, numbers = lives_of(features), [i for i, a in enumerate(test.annotations) if a.vid == vid]
        keys = scorer.keys(torch.from_numpy(features.rows(0, len(features))))
        logits = scorer.matrix(keys, text[numbers]) if temperature is None else cosines(scorer, keys, text[numbers]) / temperature
        for i, row in zip(numbers, logits.numpy(), strict=True):
            answers[i] = lives.lives_s[best_lives(lives, lives.scores(row), top_k=5, above=-np.inf)]
    return answers


def name_of(recipe: str, settings: Settings, seed: int) -> str:
    """Name of a trial's JSON and of its folder."""
    return "_".join([recipe, *(f"{key.partition('.')[2]}={value}" for key, value in sorted(settings.items())), f"seed{seed}"])


def trial(demo: Demo, out: Path, recipe: str, settings: Settings, seed: int) -> dict[str, Any]:
    """Train one trial and measure it on validation spans, or read its JSON."""
    name = name_of(recipe, settings, seed)
    path, folder = out / f"{name}.json", out / "runs" / name
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    run = run_of(demo.folder, recipe, settings, seed)
    objective, val_objective = objectives(recipe, run, demo)
    begin = time.process_time()
    train, val = demo.prepared.train, demo.prepared.val
    rows = fit(run, folder, train, val, objective=objective, val_objective=val_objective, resume=(folder / LAST).exists())
    result: dict[str, Any] = {
        "recipe": recipe,
        "settings": settings,
        "seed": seed,
        "kept": max(rows, key=lambda row: row["val_match"])["epoch"],
        "cpu_s": round(time.process_time() - begin, 1),
        "val": _measured(demo, out, recipe, folder, run, "val")["val"],
    }
    _save(path, result)
    print_message(f"{name}: validation R@1 .5 {result['val']['r1_iou50']:.1f}, {result['cpu_s']:.0f} s of CPU")
    return result


def tested(demo: Demo, out: Path, recipe: str, settings: Settings, seed: int) -> dict[str, Any]:
    """A trial with chosen settings, measured on test spans as well."""
    result, name = trial(demo, out, recipe, settings, seed), name_of(recipe, settings, seed)
    path = out / f"test_{name}.json"
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    result |= _measured(demo, out, recipe, out / "runs" / name, run_of(demo.folder, recipe, settings, seed), "test")
    _save(path, result)
    return result


def _measured(demo: Demo, out: Path, recipe: str, folder: Path, run: Run, split: str) -> dict[str, dict[str, Any]]:
    """Figures on the queries of a split, and on those of them whose pair of kind and colour is seen in training, and is not."""
    test, text = demo.labelled(split, out / "text-cache")
    temperature = run.loss.temperature if recipe == "tga" else None
    answers = answered(load_checkpoint(folder).scorer, test, text, temperature=temperature)
    if split == "val":
        return {split: test.ranked(answers).row()}
    unseen = [bool(annotation.row["unseen"]) for annotation in test.annotations]
    parts = {split: [True] * len(unseen), "seen": [not flag for flag in unseen], "unseen": unseen}
    return {part: test.ranked(answers, chosen=flags).row() for part, flags in parts.items()}


def chosen_settings(demo: Demo, out: Path, recipe: str, values: dict[str, list[Any]], seed: int) -> Settings:
    """The settings of a recipe by the rule above."""
    settings = dict(BASE[recipe])
    for key, choices in values.items():
        if recipe == "skyline" and key in ("loss.margin", "loss.temperature"):
            continue
        rates = [trial(demo, out, recipe, {**settings, key: value}, seed)["val"]["r1_iou50"] for value in choices]
        settings[key] = choices[int(np.argmax(rates))]  # of equal ones the first
    return settings


def _save(path: Path, table: dict[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def rates_cell(results: Sequence[dict[str, Any]], part: str) -> str:
    """R@1 at IoU 0.5 of a part, such as "test": the mean, the lowest and the highest of the seeds."""
    values = [result[part]["r1_iou50"] for result in results]
    return f"{mean(values):.1f}" + (f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else "")


def row(recipe: str, settings: Settings, results: list[dict[str, Any]]) -> str:
    """One line of the table."""
    used = ", ".join(f"{key.partition('.')[2]} {value:g}" for key, value in settings.items())
    cells = [recipe, used, str(len(results)), *(rates_cell(results, part) for part in ("val", "test", "seen", "unseen"))]
    return f"| {' | '.join(cells)} | {mean(result['cpu_s'] for result in results):.0f} |"


def main() -> int:
    """Tune, train, measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--values", nargs="+", metavar="SECTION.KEY=[...]", help="settings to tune, in place of all of VALUES")
    given = parser.parse_args()
    values = {key.strip(): tomllib.loads(f"values = {text}")["values"] for key, _, text in (v.partition("=") for v in given.values or [])}
    demo = open_demo(given.demo.resolve(), given.out / "text-cache")
    lines = []
    for recipe in given.recipes:
        settings = chosen_settings(demo, given.out, recipe, values or VALUES, given.seeds[0])
        lines.append(row(recipe, settings, [tested(demo, given.out, recipe, settings, seed) for seed in given.seeds]))
    print("R@1 at IoU 0.5 in percent, answers forced\n")
    print("| recipe | settings chosen on validation | seeds | validation | test | pairs seen | pairs never seen | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
