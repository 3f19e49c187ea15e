"""Trains and measures the trials of a table: python benchmarks/planted/run.py TABLE... -o DIR --sets DIR [--part 1/2].

Each trial writes one JSON under -o. Trials that have one are skipped, and an interrupted trial resumes at its last epoch.
Two processes can share a table with --part.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from answers import FORMS, Reader, logit_curves, measured, plain_controls, shuffled
from sets import Opened, opened
from trials import SEEDS, TABLES, Trial, run_of

from tga import TextGuidedObjective, cosines
from wsra.export.demo.skyline import SpanObjective, shares_inside
from wsra.runtime.errors import DataError
from wsra.runtime.files.writing import replacing
from wsra.runtime.terminal.console import print_message
from wsra.train.checkpoint import LAST, load_checkpoint
from wsra.train.config import Run
from wsra.train.loop import fit
from wsra.train.objective import CaptionObjective, Objective
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


def result(trial: Trial, sets: Path, folder: Path) -> dict[str, Any]:
    """Train one trial and measure it with the form of inference that is best on validation, and with the default form."""
    start = time.monotonic()
    run = run_of(trial, sets)
    data = _opened(sets / trial.planted, run.data.captions, run.data.seen_as, run.text.pooling)
    objective, val_objective = objectives(trial, run, data)
    begin = time.process_time()
    train, val_data = data.prepared.train, data.prepared.val
    rows = fit(run, folder, train, val_data, objective=objective, val_objective=val_objective, resume=(folder / LAST).exists())
    fit_s = time.process_time() - begin
    scorer = load_checkpoint(folder).scorer
    curves = cosines if trial.recipe == "tga" else logit_curves
    val, test = (Reader(scorer, curves, part, part.text) for part in (data.val, data.test))
    theta = val.theta()
    on_val = {form: measured(data.val, val.answers(form, theta)) for form in FORMS}
    best = max(FORMS, key=lambda form: on_val[form]["r1_iou50"])
    found = {form: test.answers(form, theta) for form in dict.fromkeys((best, "maximal", "relative pooled"))}
    others = Reader(scorer, curves, data.test, data.test.text[shuffled(data.test, trial.seed)])
    kept = max(rows, key=lambda row: row["val_match"])
    return {
        "trial": asdict(trial),
        "settings": {name: section for name, section in asdict(run).items() if name != "data"},
        "form": best,
        "theta": theta,
        "val": on_val,
        "test": {form: measured(data.test, answers) for form, answers in found.items()},
        "seen": measured(data.test, found[best], data.seen),
        "unseen": measured(data.test, found[best], [not seen for seen in data.seen]),
        "shuffled": measured(data.test, others.answers(best, theta)),
        "kept": kept,
        "collapsed": bool(rows[-1]["collapsed"]),
        "fit_cpu_s": round(fit_s, 1),
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


def _save(path: Path, table: dict[str, Any]) -> None:
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
            _save(path, controls(planted, given.sets))
    for number, trial in enumerate(trials.values()):
        path = given.out / f"{trial.name}.json"
        if number % parts != mine - 1 or path.exists():
            continue
        try:
            table = result(trial, given.sets, given.out / "runs" / trial.name)
        except DataError as err:  # a recipe that learns nothing has no theta; this is its result
            table = {"trial": asdict(trial), "failed": str(err)}
        _save(path, table)
        form = table.get("form", "")
        figures = table["test"][form] if form else table["failed"]
        print_message(f"{trial.name}: {form} {figures} {table.get('wall_s', '')} s")


if __name__ == "__main__":
    main()
