"""Upper limits of tracking: the IoU of the best life with each event, and how often identities are lost or mixed.

    python benchmarks/tracking/ceilings.py [--demo FOLDER [--split val]] [--hard 24] [--footage FOLDER] [--libraries] [--json OUT.json]

FOLDER is the output of `wsra demo`, or a folder of labelled footage with its annotations.jsonl. Neither text nor scorer is used: a perfect
scorer would answer every event with its best life. Nothing is trained.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from followers import Found, libraries, ours, pieces_of_frames
from truth import Array, Event, Film, demo_films, footage_films, hard_films

from wsra.runtime.spans.moments import iou

SAME = 0.2  # least IoU of boxes for a row to show an event


def best_ious(found: Found, events: list[Event]) -> list[float]:
    """IoU of each event with its best life."""
    return [float(iou(found.lives_s, np.array(event.span_s)).max(initial=0.0)) for event in events]


def shown(found: Found, events: list[Event]) -> tuple[list[int], list[float]]:
    """The event that each row shows, or -1, and the IoU of their boxes."""
    of_event, overlaps = [], []
    for (start_s, end_s), box in zip(found.times_s, found.boxes, strict=True):
        scores = [_overlap(box, event, float(start_s), float(end_s)) for event in events]
        best = int(np.argmax(scores)) if scores else -1
        of_event.append(best if scores and scores[best] >= SAME else -1)
        overlaps.append(scores[best] if scores else 0.0)
    return of_event, overlaps


def _overlap(box: Array, event: Event, start_s: float, end_s: float) -> float:
    within = (event.times_s >= start_s - 0.2) & (event.times_s <= end_s + 0.2)
    if not within.any():
        return 0.0
    true = event.boxes[within].mean(axis=0)
    common = np.clip(np.minimum(box[2:], true[2:]) - np.maximum(box[:2], true[:2]), 0, None).prod()
    return float(common / ((box[2:] - box[:2]).prod() + (true[2:] - true[:2]).prod() - common))


def identities(found: Found, events: list[Event]) -> dict[str, int]:
    """Switches, fragments, mixed tracks and tracks that show nothing."""
    of_event, overlaps = shown(found, events)
    switches = fragments = 0
    for number in range(len(events)):
        own = [row for row, event in enumerate(of_event) if event == number]
        best: dict[int, int] = {}
        for row in own:
            second = int(found.times_s[row, 0])
            if second not in best or overlaps[row] > overlaps[best[second]]:
                best[second] = row
        names = [int(found.of_row[best[second]]) for second in sorted(best)]
        switches += sum(one != two for one, two in itertools.pairwise(names))
        fragments += len(set(names))
    nuisance = mixed = 0
    for track in range(len(found.lives_s)):
        counts = Counter(of_event[row] for row in np.flatnonzero(found.of_row == track))
        rows, real = sum(counts.values()), [count for event, count in counts.items() if event >= 0]
        nuisance += not real
        mixed += sum(count >= max(2, 0.25 * rows) for count in real) > 1
    return {"switches": switches, "fragments": fragments, "nuisance": nuisance, "mixed": mixed}


def measure(films: list[Film], *, compare: bool) -> dict[str, dict[str, Any]]:
    """Figures over the films for `wsra extract` and, for comparison, for libraries that track the same blobs."""
    others = libraries() if compare else {}
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("motion", *others)}
    overlaps: dict[str, list[float]] = {name: [] for name in sums}
    for film in films:
        frames = list(film.read())
        found = {"motion": _timed(lambda frames=frames: ours(frames))}  # type: ignore[misc]
        if others:
            seen, seeing_ms = _timed(lambda frames=frames: list(pieces_of_frames(frames)))  # type: ignore[misc]
            for name, way in others.items():
                made, following_ms = _timed(lambda way=way, seen=seen: way(seen))  # type: ignore[misc]
                found[name] = made, seeing_ms + following_ms
        for name, (made, cpu_ms) in found.items():
            overlaps[name] += best_ious(made, film.events)
            sums[name].update(identities(made, film.events))
            sums[name].update(
                {"frames": len(frames), "rows": len(made.of_row), "tracks": len(made.lives_s), "cpu_us": round(1000 * cpu_ms)}
            )
        print(f"{film.name}: {len(film.events)} events", file=sys.stderr)
    sorts = np.array([film.sort for film in films for _ in film.events])
    hours = sum(film.duration_s for film in films) / 3600
    placed = any(len(event.times_s) for film in films for event in film.events)
    return {name: _figures(sums[name], np.array(overlaps[name]), sorts, hours, placed=placed) for name in sums}


def _timed(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    made = make()
    return made, 1000 * (time.process_time() - start)


def _figures(sums: Counter[str], overlaps: Array, sorts: Any, hours: float, *, placed: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"events": len(overlaps), "miou": 100 * float(overlaps.mean())}
    figures |= {f"r{100 * least:.0f}": 100 * float((overlaps >= least).mean()) for least in (0.5, 0.7)}
    if placed:
        figures |= {"switches_per_event": sums["switches"] / len(overlaps), "tracks_per_event": sums["fragments"] / len(overlaps)}
        figures |= {"mixed_tracks": sums["mixed"], "nuisance_per_hour": sums["nuisance"] / hours}
    figures |= {
        "tracks_per_hour": sums["tracks"] / hours,
        "rows_per_hour": sums["rows"] / hours,
        "cpu_ms": sums["cpu_us"] / 1000 / sums["frames"],
    }
    for sort in dict.fromkeys(filter(None, sorts)):
        own = overlaps[sorts == sort]
        figures[sort] = f"{100 * (own >= 0.5).mean():.0f} / {100 * (own >= 0.7).mean():.0f}"
    return figures


def table(figures: dict[str, dict[str, Any]]) -> str:
    """A Markdown table with a line per tracker."""
    names = list(next(iter(figures.values())))
    lines = [f"| way | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for way, own in figures.items():
        cells = [_cell(name, value) for name, value in own.items()]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if name.endswith("_event") or name == "cpu_ms" else f"{value:.1f}"


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, help="folder of `wsra demo`")
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    parser.add_argument("--clips", type=int, help="largest number of clips of the demo")
    parser.add_argument("--hard", type=int, default=0, help="number of rendered clips that are hard to track")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the hard clips")
    parser.add_argument("--footage", type=Path)
    parser.add_argument("--libraries", action="store_true", help="compare with ByteTrack and norfair")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sets: dict[str, list[Film]] = {}
    if given.demo:
        sets[f"demo, {given.split}"] = demo_films(given.demo, given.split, given.clips)
    if given.hard:
        sets["hard"] = hard_films(given.hard, given.seed)
    if given.footage:
        sets["footage"] = footage_films(given.footage)
    if not sets:
        parser.error("nothing to measure: give --demo, --hard or --footage")
    figures = {name: measure(films, compare=given.libraries) for name, films in sets.items()}
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name, own in figures.items():
        print(f"\n{name}\n\n{table(own)}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
