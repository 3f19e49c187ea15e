"""Ten sentences on a ten-minute file joined from the demo's test clips: compares answers with the truth, and file with features.

    python benchmarks/long_video.py demo

A sentence is true of one or more events of the joined clips; its IoU is with the event that its answer overlaps best.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.features import read_features, write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.spans.moments import best_iou
from wsra.runtime.terminal.display import clock
from wsra.train.scenes.demo.render import FPS, Sizes, caption_clip, frames, plan, visible_span, write_video
from wsra.train.scenes.demo.wording import DemoSentence
from wsra.train.scenes.demo.world import Clip

MINUTES, QUERIES = 10, 10


def join(clips: list[Clip]) -> Iterator[Any]:
    """Yield the frames of all clips in sequence."""
    for clip in clips:
        yield from frames(clip)


def main(demo: Path) -> int:
    """Render, extract, answer and compare; return the exit code."""
    clips: list[Clip] = []
    while sum(int(c.duration_s * FPS) for c in clips) < MINUTES * 60 * FPS:
        clips = plan(Sizes(0, 0, len(clips) + 1), 0)
    starts = np.cumsum([0.0, *(int(c.duration_s * FPS) / FPS for c in clips)])
    rows = [row for clip in clips for row in caption_clip(clip)]
    chosen = [rows[int(i)] for i in np.random.default_rng(0).choice(len(rows), QUERIES, replace=False)]
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "ten-minutes.mp4"
        write_video(video, join(clips))
        features = extract_features(video)
        write_features(video.with_suffix(".feat"), features)
        stored = read_features(video.with_suffix(".feat"))
        grounder = Grounder.open(demo / "bundle", precision="fp32", provider="cpu", threads=2)
        print(f"{clock(features.duration_s)} of video, {len(features)} snippets, {len(clips)} clips")
        print("| sentence | answer | truth (the nearest) | IoU |\n|---|---|---|---|")
        overlaps = []
        for row in chosen:
            caption = DemoSentence(row["query"], row["mentions"])
            truth = [
                np.array(visible_span(clip, actor)) + start
                for clip, start in zip(clips, starts, strict=False)
                for actor in clip.actors
                if caption.is_true_of(actor)
            ]
            moments = grounder.ground(features, row["query"])
            if moments != grounder.ground(stored, row["query"]):
                print(f"the file and its features disagree on {row['query']!r}", file=sys.stderr)
                return 1
            answer = np.array([[moments[0].start_s, moments[0].end_s]]) if moments else np.zeros((0, 2))
            overlap = float(max(best_iou(answer, np.array(truth)), default=0.0))
            nearest = max(truth, key=lambda t: float(max(best_iou(answer, t[None]), default=0.0)))
            answer_text = f"{clock(answer[0, 0])} to {clock(answer[0, 1])}" if moments else "nothing"
            print(f"| {row['query']} | {answer_text} | {clock(nearest[0])} to {clock(nearest[1])} | {overlap:.2f} |")
            overlaps.append(overlap)
        print(f"mean IoU {np.mean(overlaps):.2f}, at least 0.5 in {sum(o >= 0.5 for o in overlaps)} of {QUERIES}")
        print("the file and its .feat agree exactly")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
