"""Chooses the settings of four recipes by one rule: python benchmarks/planted/tune.py -o DIR --sets DIR [--recipes ours tga].

The rule, that of benchmarks/demo_recipes.py, was written before the first trial. After that trial `READ` was cut from six forms of
inference to three, to save time; peaks were the best of all six:

1. All recipes are tuned on charades-middle with seed 0, and keep their settings on every other planted set.
2. A recipe starts from its base (`BASE`). Its settings are taken in the order of `VALUES`. The skyline has no margin and no temperature,
   so these are left out.
3. Every value of a setting is trained with the settings before it as chosen and those after it as in the base. Each trial keeps the epoch
   with the best match on the validation captions, as `wsra train` does.
4. The value with the highest R@1 at IoU 0.5 on the spans of validation stays, each trial read by that form of `READ` that is best there.
   Of equal ones, the first of the list stays.
5. No test span is read here. What is chosen is written into `TUNED` of trials.py, and `run.py claims ...` measures it with three seeds.

Each trial writes one JSON under -o. Trials that have one are skipped, and an interrupted trial resumes at its last epoch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from answers import measured
from run import save_json, trained
from trials import MIDDLE, Trial

from wsra.runtime.errors import DataError
from wsra.runtime.terminal.console import print_message

Settings = dict[str, Any]  # section.key -> value
READ = ("peaks", "relative additive", "relative pooled")
COMMON: Settings = {
    "training.learning_rate": 1e-3,
    "loss.margin": 0.5,
    "sampling.draws": 12,
    "training.key_width": 128,
    "training.feature_noise": 0.0,
    "training.epochs": 6,
}
BASE: dict[str, Settings] = {
    "ours": {**COMMON, "loss.temperature": 0.25},
    "tga": {**COMMON, "loss.temperature": 1.0, "sampling.draws": 0},
    "paper": {**COMMON, "loss.temperature": 1.0},
    "skyline": {key: value for key, value in COMMON.items() if key != "loss.margin"},
}
VALUES: dict[str, list[Any]] = {
    "training.learning_rate": [1e-3, 3e-3],
    "loss.margin": [0.5, 0.2, 0.1],
    "loss.temperature": [1.0, 0.25, 0.1],
    "sampling.draws": [12, 4, 0],  # 0: the whole batch
    "training.key_width": [128, 256],
    "training.feature_noise": [0.0, 0.5],
    "training.epochs": [6, 12],
}


def rate(settings: Settings, recipe: str, sets: Path, out: Path) -> float:
    """R@1 at IoU 0.5 in percent on the validation spans of one trial, by the best form of inference."""
    trial = Trial(MIDDLE, recipe, settings)
    path = out / f"{trial.name}.json"
    if not path.exists():
        done = trained(trial, sets, out / "runs" / trial.name)
        val = done.reader(done.data.val, done.data.val.text)
        table = done.record()
        try:
            theta = val.theta()
            table["val"] = {form: measured(done.data.val, val.answers(form, theta)) for form in READ}
        except DataError as err:  # a recipe that learns nothing has no theta; it finds nothing
            table |= {"val": {}, "failed": str(err)}
        save_json(path, table)
    on_val = json.loads(path.read_text(encoding="utf-8"))["val"]
    best = max((float(figures["r1_iou50"]) for figures in on_val.values()), default=0.0)
    print_message(f"{trial.name}: validation R@1 .5 {best:.1f}")
    return best


def chosen_settings(recipe: str, sets: Path, out: Path) -> Settings:
    """The settings of a recipe by the rule above."""
    settings = dict(BASE[recipe])
    for key, choices in VALUES.items():
        if key not in settings:  # the skyline has no margin and no temperature
            continue
        rates = [rate({**settings, key: value}, recipe, sets, out) for value in choices]
        settings[key] = choices[int(np.argmax(rates))]  # of equal ones the first
    return settings


def main() -> None:
    """Tune and print the settings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=list(BASE), default=list(BASE))
    given = parser.parse_args()
    for recipe in given.recipes:
        settings = chosen_settings(recipe, given.sets, given.out)
        save_json(given.out / f"chosen-{recipe}.json", settings)
        print(f"{recipe}: {settings}")


if __name__ == "__main__":
    main()
