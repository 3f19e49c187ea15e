"""Prints Markdown tables of the results of run.py: python benchmarks/planted/table.py DIR [TABLE...]."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from trials import TABLES

HEAD = """# Every figure behind the page on learning

`python benchmarks/planted/table.py results` writes this page. [learning](learning.md) describes how the trials are run and what the recipes
are. The recipes `tga` (text-guided attention) and `skyline` were not tuned as `ours` was, so do not compare recipes by these rows.

`seeds` is the number of training seeds behind a row (mean and deviation), and `spans` the reading that is best on validation. `paper's
spans` is R@1 at IoU 0.5 with pooled windows, and `maximal spans` the same with wsra's default. `seen` and `unseen` tell sentences that
occur in training from those that do not. `val match` is the share of comparisons on validation videos in which a video's own sentence beats
another one (no span is read). A dash means that the figure was not measured in that form. `ours` has 12 negatives, the default; the tables
`tune`, `ablation`, `k` and `levers` were measured with 4 (`trials.py` sets it). The row "4 most similar negatives" was
measured with the option `sampling.hardest`, which has been removed since."""
COLUMNS = {"r1_iou30": "R@1 .3", "r1_iou50": "R@1 .5", "r1_iou70": "R@1 .7", "r5_iou50": "R@5 .5", "miou": "mIoU"}


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _rows(results: list[dict[str, Any]]) -> list[str]:
    """Combine several seeds of a trial into one row."""
    good = [r for r in results if "failed" not in r]
    failed = len(results) - len(good)
    if not good:
        return ["learns nothing: no theta"] + ["-"] * (len(COLUMNS) + 7)
    forms = [r["form"] for r in good]
    form = max(set(forms), key=forms.count)
    every = [[r["test"][r["form"]][key] for r in good] for key in COLUMNS]
    more = [
        [r["test"]["relative pooled"]["r1_iou50"] for r in good if "relative pooled" in r["test"]],
        [r["test"]["maximal"]["r1_iou50"] for r in good],
        [r["seen"]["r1_iou50"] for r in good],
        [r["unseen"]["r1_iou50"] for r in good],
        [r["shuffled"]["r1_iou50"] for r in good],
        [r["val"][r["form"]]["r1_iou50"] for r in good],
        [r["kept"]["val_match"] for r in good],
    ]
    marks = [f"{len(good)} of {len(results)} seeds"] if failed else []
    marks += ["collapsed"] if any(r["collapsed"] for r in good) else []
    return ["; ".join([form, *marks]), *(_cell(values) for values in every + more)]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table_of(folder: Path, name: str) -> str:
    """Markdown of one table: the controls of each set it uses, then its trials with seeds combined; trials not yet run are skipped."""
    head = ["trial", "seeds", "spans", *COLUMNS.values()]
    head += ["paper's spans", "maximal spans", "seen", "unseen", "shuffled", "val R@1 .5", "val match"]
    lines = []
    for planted in dict.fromkeys(trial.planted for row in TABLES[name].values() for trial in row):
        lines += [f"**{planted}**", "", _line(head), "|" + "---|" * len(head)]
        control = json.loads((folder / f"controls-{planted}.json").read_text(encoding="utf-8"))
        rest = ["-"] * 7
        for plan, figures in control.items():
            lines.append(_line([f"chance, {plan}", "exact", plan, *(f"{figures['chance'][key]:.1f}" for key in COLUMNS), *rest]))
        prior = control["relative"]
        seen = f"prior {prior['prior_window']} (has seen times)"
        lines.append(_line([seen, "-", "fixed", *(f"{prior['prior'][key]:.1f}" for key in COLUMNS), *rest]))
        for label, trials in TABLES[name].items():
            paths = [folder / f"{trial.name}.json" for trial in trials if trial.planted == planted]
            results = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
            if results:
                lines.append(_line([label, str(len(results)), *_rows(results)]))
    return "\n".join(lines)


def agreement(folder: Path) -> str:
    """Spearman correlation of criteria that read no span with R@1 at IoU 0.5 on test, over wsra's trials on charades-middle."""
    trials = {t.name: t for name in ("tune", "levers", "ablation", "k") for row in TABLES[name].values() for t in row if t.recipe == "ours"}
    paths = [folder / f"{name}.json" for name in trials]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    good = [r for r in results if "failed" not in r]
    recall = [r["test"][r["form"]]["r1_iou50"] for r in good]
    lines = ["", f"## agreement with R@1 at IoU 0.5 on test, {len(good)} trials of wsra's recipe", ""]
    for key, sign in (("val_match", 1), ("val_contrast", -1), ("val_association", -1)):
        lines.append(f"- {key}: {_spearman([sign * r['kept'][key] for r in good], recall):.2f}")
    lines.append(f"- R@1 at IoU 0.5 on validation (reads spans): {_spearman([r['val'][r['form']]['r1_iou50'] for r in good], recall):.2f}")
    return "\n".join(lines)


def _spearman(one: list[float], two: list[float]) -> float:
    first, second = (np.argsort(np.argsort(values)) for values in (one, two))
    return float(np.corrcoef(first, second)[0, 1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tables", nargs="*")
    given = parser.parse_args()
    if not given.tables:
        print(HEAD + "\n" + agreement(given.folder))
    for name in given.tables or TABLES:
        if not any((given.folder / f"{t.name}.json").exists() for row in TABLES[name].values() for t in row):
            continue
        print(f"\n## {name}\n\n{table_of(given.folder, name)}")


if __name__ == "__main__":
    main()
