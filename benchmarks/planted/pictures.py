"""Draws the pictures of docs/measurements/learning.md: python benchmarks/planted/pictures.py DIR --sets DIR -o docs/pictures.

DIR is the output of run.py for the tables k and middle. The three queries shown have the best, the median and the worst answer among those
whose video has at least two sentences, so that one of them is a failure.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib
import numpy as np
import torch
from answers import Reader, logit_curves, truths
from run import set_of
from trials import MIDDLE, TABLES

from wsra.runtime.spans.moments import best_iou
from wsra.train.checkpoint import load_checkpoint

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def k_curve(folder: Path, out: Path) -> None:
    """R@1 at IoU 0.5 over K and over K', mean and deviation over seeds, like Fig. 5; trials that have not run are skipped."""
    values: dict[tuple[int, int], list[float]] = {}
    for trial in (trial for row in TABLES["k"].values() for trial in row):
        path = folder / f"{trial.name}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        key = (trial.settings.get("sampling.first", 3), trial.settings.get("sampling.last", 2))
        values.setdefault(key, []).append(result["test"][result["form"]]["r1_iou50"])
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
    for axis, place, name in ((axes[0], 0, "K, most similar left out (K' = 2)"), (axes[1], 1, "K', least similar left out (K = 3)")):
        other = {0: 2, 1: 3}[place]
        points = sorted((key[place], found) for key, found in values.items() if key[1 - place] == other)
        spread = [stdev(found) if len(found) > 1 else 0.0 for _, found in points]
        axis.errorbar([k for k, _ in points], [mean(found) for _, found in points], yerr=spread, marker="o", capsize=3)
        axis.set_xlabel(name)
    axes[0].set_ylabel("R@1 at IoU 0.5")
    figure.tight_layout()
    figure.savefig(out / "k.png", dpi=80)


def examples(folder: Path, sets: Path, out: Path) -> None:
    """Query, truth, attention and answer of a good, a median and a bad query, like Fig. 6."""
    name = TABLES["middle"]["ours"][0].name
    result = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    data = set_of(MIDDLE, sets)
    scorer = load_checkpoint(folder / "runs" / name).scorer
    reader = Reader(scorer, logit_curves, data.test, data.test.text)
    answers = reader.answers(result["form"], result["theta"])
    overlaps = [max(best_iou(a[:1], t), default=0.0) for a, t in zip(answers, truths(data.test.annotations), strict=True)]
    several = [n for n in range(len(answers)) if len(reader.queries[data.test.annotations[n].vid]) > 1]
    ranked = sorted(several, key=lambda n: (overlaps[n], n))
    figure, axes = plt.subplots(3, 1, figsize=(7, 5))
    for axis, number in zip(axes, (ranked[-1], ranked[len(ranked) // 2], ranked[0]), strict=True):
        _example(axis, data.test.annotations[number], reader.curves[number], answers[number], overlaps[number])
    axes[0].legend(loc="upper right", fontsize=7)
    axes[-1].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(out / "examples.png", dpi=80)


def _example(axis: Any, annotation: Any, curve: Any, answer: Any, overlap: float) -> None:
    phi = torch.sigmoid(torch.from_numpy(curve)).numpy()
    edges = np.minimum(np.arange(len(phi) + 1), annotation.duration_s)
    axis.stairs(phi, edges, label="phi", color="tab:blue")
    (start, end) = annotation.windows_s[0]
    axis.axvspan(start, end, 0.5, 1.0, color="tab:green", alpha=0.3, label="truth")
    if len(answer):
        axis.axvspan(answer[0][0], answer[0][1], 0.0, 0.5, color="tab:orange", alpha=0.3, label="answer")
    axis.set_ylim(0, 1)
    axis.set_title(f"{annotation.query} (IoU {overlap:.2f})", fontsize=9)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    k_curve(given.folder, given.out)
    examples(given.folder, given.sets, given.out)


if __name__ == "__main__":
    main()
