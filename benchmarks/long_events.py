"""Compares peaks, maximal spans and windows with NMS on planted events of 1 s to 30 min: which of them finds an event completely?

    python benchmarks/long_events.py [--noise 1.0] [--json OUT.json]

A video of 2 h has one event; its duration is log-uniform, and its position is uniform and independent of strides. A snippet's logit minus
theta is -`gap` + noise outside and +`gap` + noise inside the event. The noise is normal and, as for a real scorer, correlated between
neighbours. Every plan gets the same logits; `refined` is the first window with both ends moved, by up to eight times its length, to where
the sum is largest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.spans.maximal import maximal_of
from wsra.runtime.spans.moments import best_first, best_of_ladder, iou
from wsra.runtime.spans.peaks import peak_spans
from wsra.runtime.spans.sums import ladder_sums, running_sums
from wsra.runtime.spans.windows import seconds_ladder

Array = NDArray[np.float64]
COUNT, EDGES = 7200, (1, 4, 16, 64, 128, 512, 1800)  # snippets of 1 s; limits of the classes of durations
REACH, GAP, KEPT = 8, 1.0, 0.7  # the last two: distance of both means from theta; share of the noise carried over from the previous snippet


def noise(rng: np.random.Generator, deviation: float) -> Array:
    """Normal numbers (COUNT,) with a standard deviation, each correlated with the previous one."""
    fresh: Array = rng.normal(size=COUNT) * deviation * np.sqrt(1 - KEPT**2)
    fresh[0] /= np.sqrt(1 - KEPT**2)
    for at in range(1, COUNT):
        fresh[at] += KEPT * fresh[at - 1]
    return fresh


def refined(positions: Array, running: Array) -> Array:
    """Move each end of windows (n, 2), by up to `REACH` times their length, to where their sum is largest."""
    found = []
    for start, end in positions.astype(int):
        reach = REACH * (end - start)
        left, right = max(0, start - reach), min(COUNT, end + reach)
        found.append((left + int(np.argmin(running[left:end])), start + 1 + int(np.argmax(running[start + 1 : right + 1]))))
    return np.array(found, float).reshape(-1, 2)


def answers(excess: Array) -> dict[str, Array]:
    """First answer (1, 2) of each plan, or none (0, 2)."""
    running = running_sums(excess)
    spans, scores = maximal_of(excess, running)
    starts = np.arange(COUNT, dtype=np.float64)
    times_s = np.stack([starts, starts + 1], axis=1)
    ladder = seconds_ladder(times_s)
    peaks, _ = peak_spans(excess, times_s, np.array([0, COUNT]), count=1)
    windows, _ = best_of_ladder(ladder, ladder_sums(running, ladder), count=1, above=0.0)
    maximal = spans[best_first(scores)[:1]]
    return {"peaks": peaks, "maximal": maximal, "seconds + NMS": windows, "seconds, refined": refined(windows, running)}


def measure(deviation: float, *, events: int, seed: int) -> list[dict[str, Any]]:
    """One row per class of durations, with the mean IoU of every plan and its share with an IoU of 0.5 or more."""
    rng, rows = np.random.default_rng(seed), []
    for low, high in itertools.pairwise(EDGES):
        overlaps: dict[str, list[float]] = {}
        for _ in range(events):
            length = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
            start = int(rng.integers(0, COUNT - length))
            excess = noise(rng, deviation) - GAP
            excess[start : start + length] += 2 * GAP
            truth = np.array([start, start + length], float)
            for plan, found in answers(excess).items():
                overlaps.setdefault(plan, []).append(float(iou(found, truth)[0]) if len(found) else 0.0)
        plans = {
            plan: {"miou": 100 * float(np.mean(found)), "r1_iou50": 100 * float(np.mean(np.array(found) >= 0.5))}
            for plan, found in overlaps.items()
        }
        rows.append({"seconds": f"{low} to {high}", "noise": deviation, "events": events, "plans": plans})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: mean IoU / R@1 at IoU 0.5 in percent."""
    plans = list(rows[0]["plans"])
    lines = [f"| noise | event | {' | '.join(plans)} |", "|---" * (len(plans) + 2) + "|"]
    for row in rows:
        cells = [f"{row['plans'][plan]['miou']:.0f} / {row['plans'][plan]['r1_iou50']:.0f}" for plan in plans]
        lines.append(f"| {row['noise']:g} | {row['seconds']} s | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", type=float, nargs="*", default=[0.5, 0.7], help="standard deviations of the noise, in units of the gap")
    parser.add_argument("--events", type=int, default=100, help="number of events per class of durations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row for deviation in given.noise for row in measure(deviation, events=given.events, seed=given.seed)]
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
