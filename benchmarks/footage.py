"""Every answer beside the true span, on real fixed-camera footage that no model was trained or tuned on.

    WSRA_DATA=... python benchmarks/footage.py BUNDLE [BUNDLE ...]

Each bundle extracts features with its own backbone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from wsra.runtime.backbones.registry import load_backbone
from wsra.runtime.backends.settings import GraphSettings
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.spans.moments import Moment, best_iou


def first_answers(bundle: Path, annotations: list[Annotation], folder: Path) -> list[Moment | None]:
    """The best moment for each sentence, if there is one."""
    grounder, backbone = Grounder.open(bundle, precision="fp32", provider="cpu", threads=2), load_backbone(bundle, GraphSettings(threads=2))
    videos = {row.vid for row in annotations}
    features = {vid: extract_features(folder / f"{vid}.mp4", backbone=backbone) for vid in sorted(videos)}
    for vid, made in features.items():
        print(f"{bundle}: {vid}, {len(made)} snippets for {made.duration_s:.2f} s", file=sys.stderr)
    return [next(iter(grounder.ground(features[row.vid], row.query, top_k=1)), None) for row in annotations]


def overlap(moment: Moment | None, row: Annotation) -> float:
    """IoU with the best true span."""
    if moment is None or not row.windows_s:
        return 0.0
    return float(best_iou(np.array([[moment.start_s, moment.end_s]]), np.array(row.windows_s))[0])


def cell(moment: Moment | None, row: Annotation) -> str:
    """A table cell: the answer with its IoU, or whether no answer is right."""
    if moment is None:
        return "nothing" if row.windows_s else "nothing, right"
    span = f"{moment.start_s:.1f} to {moment.end_s:.1f}"
    return f"{span} ({overlap(moment, row):.2f})" if row.windows_s else f"{span}, false alarm"


def main(bundles: list[Path]) -> int:
    """Extract, answer and print; return the exit code."""
    folder = Path(os.environ["WSRA_DATA"]) / "footage"
    annotations = read_annotations(folder / "annotations.jsonl")
    answers = [first_answers(bundle, annotations, folder) for bundle in bundles]
    print(f"| video | sentence | truth | {' | '.join(str(bundle) for bundle in bundles)} |\n|---|---|---|{'---|' * len(bundles)}")
    for number, row in enumerate(annotations):
        wanted = ", ".join(f"{start:.1f} to {end:.1f}" for start, end in row.windows_s) or "does not appear"
        print(f"| {row.vid} | {row.query} | {wanted} | {' | '.join(cell(found[number], row) for found in answers)} |")
    there = [number for number, row in enumerate(annotations) if row.windows_s]
    overlaps = [np.array([overlap(found[number], annotations[number]) for number in there]) for found in answers]
    cells = [f"{(each >= 0.5).sum()} of {len(there)}, {each.mean():.2f}" for each in overlaps]
    print(f"| | IoU 0.5 or more, mean IoU | | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
