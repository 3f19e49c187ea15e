"""Chooses how far a moment extends (plan `peaks`) on validation, then reads test once, beside `maximal` and the 47 windows.

    python benchmarks/planted/extents.py -o DIR --sets DIR --demo DEMO [--seeds 0]

Trains wsra's default recipe on charades-middle, on charades-hard and on snippets of a demo folder that `wsra demo` made. A snippet of
the demo is the rows of the two largest objects of a second side by side, with zeros where there is none. The rule: of all smoothing
weights and shares take those with the highest sum of R@1 at IoU 0.5 and 0.7 over the three validation sets. The test clips are also
joined by 3 and 10: a sentence is then asked once per joined video, and each of its spans there is right.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers import Reader, logit_curves, measured
from numpy.typing import NDArray
from sets import Part, opened
from trials import Trial, run_of

from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.spans.peaks import CENTRE, SHARE, peak_spans
from wsra.runtime.terminal.console import print_message
from wsra.train.checkpoint import LAST, load_checkpoint
from wsra.train.config import Run, run_from_table
from wsra.train.loop import fit
from wsra.train.objective import CaptionObjective
from wsra.train.run import TrainingSets, prepare
from wsra.train.text import cached_vectors, load_encoder

CENTRES = {"none": 1e9, "1/4 1/2 1/4": 2.0, "1/3 1/3 1/3": 1.0}  # weight of a snippet beside neighbours of weight 1
SHARES = tuple(round(0.1 + 0.05 * step, 2) for step in range(15))
SETS, DEMO = ("charades-middle", "charades-hard"), "demo"
JOINED, SLOTS, DEMO_EPOCHS = (1, 3, 10), 2, 20
Figures = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """A trained scorer on validation and test, and its theta."""

    val: Reader
    test: Reader
    theta: float


def snippets_of(features: Features) -> Features:
    """One row per second from rows of objects: those of the largest objects side by side, the largest first."""
    assert features.tracks is not None
    count, width = max(1, int(np.ceil(features.duration_s))), features.width
    values = np.zeros((count, SLOTS * width), np.float32)
    boxes, rows = features.tracks.boxes, features.rows(0, len(features))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    used = np.zeros(count, int)
    for row in np.argsort(-areas, kind="stable"):
        second = min(int(features.times_s[row, 0] + 1e-6), count - 1)
        if used[second] < SLOTS:
            values[second, used[second] * width : (used[second] + 1) * width] = rows[row]
            used[second] += 1
    starts = np.arange(count, dtype=np.float64)
    return Features(values, np.stack([starts, starts + 1], axis=1), features.video, features.duration_s, "largest objects")


def demo_run(demo: Path, out: Path, seed: int) -> Run:
    """The run on the snippets of a demo, which are written under `out` on first use."""
    folder = out / "demo-snippets"
    for path in sorted((demo / "features").glob("*.feat")):
        if not (folder / path.name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_features(folder / path.name, snippets_of(read_features(path)))
    captions = {"captions": str(demo / "captions-train.jsonl"), "val_captions": str(demo / "captions-val.jsonl"), "features": str(folder)}
    return run_from_table({"data": captions, "training": {"epochs": DEMO_EPOCHS, "seed": seed, "threads": 1}}, DEMO)


def demo_part(demo: Path, run: Run, name: str, cache: Path) -> Part:
    """A split of the demo: the sentences that have spans."""
    annotations = [a for a in read_annotations(demo / f"spans-{name}.jsonl") if a.windows_s]
    vids = dict.fromkeys(a.vid for a in annotations)
    features = {vid: replace(read_features(Path(run.data.features) / f"{vid}.feat"), video=vid) for vid in vids}
    encoder = load_encoder(run.text.encoder, run.text.pooling)
    return Part(annotations, features, cached_vectors(encoder, [a.query for a in annotations], cache))


def fitted(run: Run, folder: Path, data: TrainingSets, val: Part, test: Part) -> Trained:
    """Train, or resume after the last epoch, and read the curves of both splits."""
    objective = CaptionObjective(run.loss, run.sampling)
    fit(run, folder, data.train, data.val, objective=objective, val_objective=objective, resume=(folder / LAST).exists())
    scorer = load_checkpoint(folder).scorer
    on_val, on_test = (Reader(scorer, logit_curves, part, part.text) for part in (val, test))
    return Trained(on_val, on_test, on_val.theta())


def trained(name: str, seed: int, given: argparse.Namespace) -> Trained:
    """The scorer of one set and seed."""
    folder = given.out / f"{name}-seed{seed}"
    if name != DEMO:
        run = run_of(Trial(name, seed=seed), given.sets)
        data = opened(given.sets / name, run)
        return fitted(run, folder, data.prepared, data.val, data.test)
    run, cache = demo_run(given.demo, given.out, seed), given.out / "text-cache"
    val, test = (demo_part(given.demo, run, part, cache) for part in ("val", "test"))
    return fitted(run, folder, prepare(run, cache), val, test)


def peaks(reader: Reader, centre: float, share: float) -> Figures:
    """Figures of the plan `peaks`."""
    found: list[NDArray[np.float64]] = []
    for number, annotation in enumerate(reader.part.annotations):
        times_s = reader.part.features[annotation.vid].times_s
        edges = np.array([0, len(times_s)])
        spans, _ = peak_spans(reader.curves[number], times_s, edges, count=5, centre=centre, share=share)
        whole = spans.astype(int)
        found.append(np.stack([times_s[whole[:, 0], 0], times_s[whole[:, 1] - 1, 1]], axis=1))
    return measured(reader.part, found)


def joined(part: Part, count: int) -> Part:
    """The split with every `count` consecutive videos as one; each sentence is asked once a video, and all its spans there are right."""
    annotations, chosen = list[Annotation](), list[int]()
    features: dict[str, Features] = {}
    for group in _batched(list(part.features), count):
        pieces = [part.features[vid] for vid in group]
        begins = dict(zip(group, np.cumsum([0.0, *(piece.times_s[-1, 1] for piece in pieces)])[:-1], strict=True))
        name, total_s = "+".join(group), sum(float(piece.times_s[-1, 1]) for piece in pieces)
        times_s = np.concatenate([piece.times_s + begins[piece.video] for piece in pieces])
        features[name] = Features(np.concatenate([p.rows(0, len(p)) for p in pieces]), times_s, name, total_s, pieces[0].backbone)
        spans: dict[str, list[tuple[float, float]]] = {}
        for number, a in enumerate(part.annotations):
            if a.vid in begins:
                if a.query not in spans:
                    chosen.append(number)
                shift = float(begins[a.vid])
                spans.setdefault(a.query, []).extend((start + shift, end + shift) for start, end in a.windows_s)
        annotations += [Annotation(f"{name}-{query}", query, name, total_s, tuple(windows), {}) for query, windows in spans.items()]
    return Part(annotations, features, part.text[chosen])


def _batched(names: Sequence[str], count: int) -> list[tuple[str, ...]]:
    return [tuple(names[first : first + count]) for first in range(0, len(names), count)]


def compared(reader: Reader, theta: float, centre: float, share: float) -> dict[str, Figures]:
    """Figures of the three ways to read spans from the same curves."""
    forms = {form: measured(reader.part, reader.answers(form, theta)) for form in ("maximal", "relative additive", "relative pooled")}
    return {**forms, "peaks": peaks(reader, centre, share)}


def main() -> None:
    """Train, choose on validation, and read test once with what was chosen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    models = {(name, seed): trained(name, seed, given) for name in (*SETS, DEMO) for seed in given.seeds}
    grid = {
        (label, share): {name: peaks(one.val, weight, share) for name, one in models.items()}
        for (label, weight), share in itertools.product(CENTRES.items(), SHARES)
    }

    def merit(setting: tuple[str, float]) -> float:
        return float(sum(figures["r1_iou50"] + figures["r1_iou70"] for figures in grid[setting].values()))

    best = max(grid, key=merit)
    rows = [
        {
            "smoothing": label,
            "share": share,
            "sum": merit((label, share)),
            "val": {f"{name} {seed}": row for (name, seed), row in found.items()},
        }
        for (label, share), found in grid.items()
    ]
    chosen = CENTRES[best[0]], best[1]
    report: dict[str, Any] = {"chosen": best, "val": rows, "val_forms": {}, "test": {}, "joined": {}}
    for (name, seed), one in models.items():
        report["val_forms"][f"{name} {seed}"] = compared(one.val, one.theta, *chosen)
        report["test"][f"{name} {seed}"] = compared(one.test, one.theta, *chosen)
        for count in JOINED:
            part = joined(one.test.part, count)
            reader = Reader(one.test.scorer, logit_curves, part, part.text)
            report["joined"][f"{name} {seed}, {count}"] = compared(reader, one.theta, *chosen)
    with replacing(given.out / "extents.json") as path:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print_message(f"chosen: {best}; shipped: {CENTRE:g}, {SHARE}")
    for part_name in ("val_forms", "test", "joined"):
        for name, forms in report[part_name].items():
            cells = [f"{form} {row['r1_iou50']:.1f} / {row['r1_iou70']:.1f}" for form, row in forms.items()]
            print_message(f"{part_name}: {name}: {', '.join(cells)}")


if __name__ == "__main__":
    main()
