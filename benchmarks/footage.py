"""Real fixed-camera footage that no model was trained or tuned on: every answer beside the truth, good or bad.

    WSRA_DATA=... python benchmarks/footage.py demo/bundle [OTHER_VIDEO...]

Other videos are run through: extracted, asked one sentence, and their snippets counted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from wsra.runtime.annotations import read_annotations
from wsra.runtime.extract import extract_features
from wsra.runtime.features import Features
from wsra.runtime.ground import Grounder
from wsra.runtime.moments import best_iou


def main(bundle: Path, others: list[Path]) -> int:
    """Extract, ask, print; the exit code."""
    folder = Path(os.environ["WSRA_DATA"]) / "footage"
    grounder = Grounder.open(bundle, precision="fp32", provider="cpu", threads=2)
    annotations = read_annotations(folder / "annotations.jsonl")
    videos: dict[str, Features] = {}
    print("| video | sentence | truth | answer | score | IoU |\n|---|---|---|---|---|---|")
    overlaps = []
    for row in annotations:
        if row.vid not in videos:
            videos[row.vid] = extract_features(folder / f"{row.vid}.mp4")
        moments = grounder.ground(videos[row.vid], row.query, top_k=1)
        truth = np.array(row.windows_s).reshape(-1, 2)
        answer = np.array([[m.start_s, m.end_s] for m in moments]).reshape(-1, 2)
        overlap = float(max(best_iou(answer, truth), default=0.0))
        told = f"{moments[0].start_s:.1f} to {moments[0].end_s:.1f}" if moments else "nothing"
        score = f"{moments[0].score:.1f}" if moments else ""
        wanted = ", ".join(f"{start:.1f} to {end:.1f}" for start, end in truth) or "does not appear"
        right = "right" if not moments else "false alarm"
        print(f"| {row.vid} | {row.query} | {wanted} | {told} | {score} | {f'{overlap:.2f}' if len(truth) else right} |")
        if len(truth):
            overlaps.append(overlap)
    hits = sum(overlap >= 0.5 for overlap in overlaps)
    print(f"\n{hits} of {len(overlaps)} at IoU 0.5 or more, mean IoU {np.mean(overlaps):.2f}")
    for name, features in videos.items():
        print(f"{name}: {len(features)} snippets for {features.duration_s:.2f} s")
    for path in others:
        features = extract_features(path)
        moments = grounder.ground(features, "man in yellow shirt", top_k=1)
        print(f"{path.name}: {len(features)} snippets for {features.duration_s:.2f} s, {len(moments)} moment of 'man in yellow shirt'")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
