"""Trains and measures the trials of a table: python benchmarks/planted/run.py TABLE... -o DIR --sets DIR [--part 1/2].

Each trial writes one JSON under -o. Trials that have one are skipped, and an interrupted trial resumes at its last epoch.
Two processes can share a table with --part.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from answers import FORMS, Reader, logit_curves, measured, plain_controls, shuffled
from sets import Opened, Part, opened
from torch import Tensor
from trials import SEEDS, TABLES, Trial, run_of

from tga import TextGuidedObjective, cosines
from wsra.runtime.errors import DataError
from wsra.runtime.files.writing import replacing
from wsra.runtime.terminal.console import print_message
from wsra.train.base_scorer import BaseScorer
from wsra.train.checkpoint import LAST, load_checkpoint
from wsra.train.config import Run
from wsra.train.loop import fit
from wsra.train.objective import CaptionObjective, Objective
from wsra.train.spans import SpanObjective, shares_inside
from wsra.train.stored import SeenAs


@lru_cache(maxsize=2)
def _opened(folder: Path, captions: str, seen_as: SeenAs, pooling: Literal["mean", "all_blocks", "words"]) -> Opened:
    run = run_of(Trial(folder.name), folder.parent)
    data = replace(run.data, captions=captions, seen_as=seen_as)
    return opened(folder, replace(run, data=data, text=replace(run.text, pooling=pooling)))


def objectives(trial: Trial, run: Run, data: Opened) -> tuple[Objective, Objective]:
    """The training and the validation objective of a recipe."""
    if trial.recipe == "skyline":
        train, val = data.prepared.train[0], data.prepared.val[0]
        return (
            SpanObjective(shares_inside(train, data.train), run.sampling),
            SpanObjective(shares_inside(val, data.val.annotations), run.sampling),
        )
    if trial.recipe == "tga":
        guided = TextGuidedObjective(run.loss.margin, run.loss.temperature, trial.settings.get("sampling.draws", 0))
        return guided, guided
    weak = CaptionObjective(run.loss, run.sampling)
    return weak, weak


@dataclass(frozen=True)
class Trained:
    """A trained trial.

    Attributes:
        trial, run, data: what was trained, with which settings, on what.
        scorer: its best epoch.
        rows: the figures of its epochs.
        cpu_s: CPU time of training in seconds.
    """

    trial: Trial
    run: Run
    data: Opened
    scorer: BaseScorer
    rows: list[dict[str, float]]
    cpu_s: float

    def reader(self, part: Part, text: Tensor) -> Reader:
        """The scorer on a split, with the given text vectors (Q, Dt) as queries."""
        return Reader(self.scorer, cosines if self.trial.recipe == "tga" else logit_curves, part, text)

    def record(self) -> dict[str, Any]:
        """What its JSON says beside the figures."""
        return {
            "trial": asdict(self.trial),
            "settings": {name: section for name, section in asdict(self.run).items() if name != "data"},
            "kept": max(self.rows, key=lambda row: row["val_match"]),
            "collapsed": bool(self.rows[-1]["collapsed"]),
            "fit_cpu_s": round(self.cpu_s, 1),
        }


def trained(trial: Trial, sets: Path, folder: Path) -> Trained:
    """Train a trial, or go on at its last epoch."""
    run = run_of(trial, sets)
    data = _opened(sets / trial.planted, run.data.captions, run.data.seen_as, run.text.pooling)
    objective, val_objective = objectives(trial, run, data)
    begin = time.process_time()
    train, val_data = data.prepared.train, data.prepared.val
    rows = fit(run, folder, train, val_data, objective=objective, val_objective=val_objective, resume=(folder / LAST).exists())
    return Trained(trial, run, data, load_checkpoint(folder).scorer, rows, time.process_time() - begin)


def result(trial: Trial, sets: Path, folder: Path) -> dict[str, Any]:
    """Train one trial and measure it with the form of inference that is best on validation, and with the default form."""
    start = time.monotonic()
    done = trained(trial, sets, folder)
    data = done.data
    val, test = done.reader(data.val, data.val.text), done.reader(data.test, data.test.text)
    theta = val.theta()
    on_val = {form: measured(data.val, val.answers(form, theta)) for form in FORMS}
    best = max(FORMS, key=lambda form: on_val[form]["r1_iou50"])
    found = {form: test.answers(form, theta) for form in dict.fromkeys((best, "peaks", "maximal", "relative pooled"))}
    others = done.reader(data.test, data.test.text[shuffled(data.test, trial.seed)])
    return {
        **done.record(),
        "form": best,
        "theta": theta,
        "val": on_val,
        "test": {form: measured(data.test, answers) for form, answers in found.items()},
        "seen": measured(data.test, found[best], data.seen),
        "unseen": measured(data.test, found[best], [not seen for seen in data.seen]),
        "shuffled": measured(data.test, others.answers(best, theta)),
        "wall_s": round(time.monotonic() - start, 1),
    }


def set_of(planted: str, sets: Path) -> Opened:
    """A set as wsra's own recipe reads it."""
    run = run_of(Trial(planted), sets)
    return _opened(sets / planted, run.data.captions, run.data.seen_as, run.text.pooling)


def controls(planted: str, sets: Path) -> dict[str, Any]:
    """Chance of both plans, and the best fixed window of the training spans."""
    data = set_of(planted, sets)
    return {plan: plain_controls(data.train, data.test, plan) for plan in ("relative", "seconds")}


def save_json(path: Path, table: dict[str, Any]) -> None:
    """Write a table under a temporary name and rename it."""
    with replacing(path) as part:
        part.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the requested tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", choices=list(TABLES))
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--part", default="1/1", help="the share of the trials to run: 1/2 or 2/2")
    given = parser.parse_args()
    mine, parts = (int(number) for number in given.part.split("/"))
    rows = [row for table in given.tables for row in TABLES[table].values()]
    by_seed = [row[k] for k in range(len(SEEDS)) for row in rows if k < len(row)]
    trials = {trial.name: trial for trial in by_seed}
    for planted in dict.fromkeys(trial.planted for trial in by_seed):
        path = given.out / f"controls-{planted}.json"
        if mine == 1 and not path.exists():
            save_json(path, controls(planted, given.sets))
    for number, trial in enumerate(trials.values()):
        path = given.out / f"{trial.name}.json"
        if number % parts != mine - 1 or path.exists():
            continue
        try:
            table = result(trial, given.sets, given.out / "runs" / trial.name)
        except DataError as err:  # a recipe that learns nothing has no theta; this is its result
            table = {"trial": asdict(trial), "failed": str(err)}
        save_json(path, table)
        form = table.get("form", "")
        figures = table["test"][form] if form else table["failed"]
        print_message(f"{trial.name}: {form} {figures} {table.get('wall_s', '')} s")


if __name__ == "__main__":
    main()
