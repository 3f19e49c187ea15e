"""Why is training with spans not above training from captions on the demo's test clips? Trains the skyline with other losses.

    python benchmarks/demo_skylines.py DEMO -o OUT [--variants "cross entropy" contrast ...] [--seeds 0 1 2]

DEMO is a folder of `wsra demo`. All variants have the settings that demo_recipes.py chose for the skyline, keep the epoch with the best
match on validation, and answer as there. The skyline's loss has two terms: rows of the own video, and rows against sentences of other
videos. Both are cross entropies of single rows ("cross entropy"). The variants change one or both:

- "contrast": sentences of other videos are compared with the own one, on the rows inside its spans, as in wsra's contrast terms.
- "margin": a row inside scores more than a row outside by a margin, as in wsra's other terms.
- "margin, contrast": both.
- "no others": without the second term.
- "others not true", "others unlike": the second term without sentences that are true of the video by accident, or that share a kind or a
  colour with it.
- "one life": of several lives with an IoU of 0.5 or more with a span only the best is inside.
- "wsra", "wsra without contrast": from captions alone, with the settings chosen for them.

Test spans are read once per trial, after it has ended. Each trial writes one JSON under OUT and is skipped if it exists.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from demo_recipes import BASE, Demo, answered, open_demo, rates_cell, run_of
from numpy.typing import NDArray
from presence import read_clips
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wsra.runtime.formats.annotations import read_annotations
from wsra.runtime.terminal.console import print_message
from wsra.train.base_scorer import BaseScorer
from wsra.train.checkpoint import LAST, load_checkpoint
from wsra.train.config import Run
from wsra.train.data import Batch
from wsra.train.loop import fit
from wsra.train.losses import instance_contrast, soft_best, video_contrast
from wsra.train.objective import CaptionObjective, Objective, own_and_other_logits
from wsra.train.pairs import batch_keys
from wsra.train.sampling import choose_negatives, rank_batch
from wsra.train.scenes.demo.wording import DemoSentence
from wsra.train.spans import SpanObjective
from wsra.train.stored import StoredFeatures

MARGIN = 0.5  # between phi of rows inside and outside; wsra's own
SETTINGS = BASE["skyline"]  # demo_recipes.py chose its base
OURS = {**BASE["ours"], "loss.temperature": 1.0}
NAMES = (
    "cross entropy",
    "contrast",
    "margin",
    "margin, contrast",
    "no others",
    "others not true",
    "others unlike",
    "one life",
    "wsra",
    "wsra without contrast",
)


@dataclass(frozen=True)
class ComparedObjective:
    """The skyline's loss with one or both of its terms changed.

    Attributes:
        spans: what is inside, and how negatives are chosen.
        margin: rows of the own video by a margin; otherwise by cross entropy.
        others: "cross entropy", "contrast" or "none".
        left_out: (videos, captions) sentences that are no negatives of a video, or None.
    """

    spans: SpanObjective
    margin: bool = False
    others: str = "cross entropy"
    left_out: Tensor | None = None

    def __call__(self, scorer: BaseScorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss and figures of one batch."""
        sampling, mask = self.spans.sampling, batch.mask
        negatives = choose_negatives(rank_batch(batch.text, batch.videos, first=sampling.first, last=sampling.last), sampling, generator)
        own, other = own_and_other_logits(scorer, batch_keys(scorer, batch.values), batch.text, negatives)
        target = pad_sequence([self.spans.inside[n] for n in batch.numbers.tolist()], batch_first=True)
        total = margin_loss(own, target, mask) if self.margin else F.binary_cross_entropy_with_logits(own[mask], target[mask])
        if self.others == "cross entropy":
            counted = mask[None].expand_as(other)
            if self.left_out is not None:
                counted = counted & ~self.left_out[batch.videos[:, None], batch.numbers[negatives]].T[:, :, None]
            total = total + F.binary_cross_entropy_with_logits(other[counted], torch.zeros_like(other[counted]))
        elif self.others == "contrast":
            inside = (target > 0) & mask
            there = inside.any(dim=1)  # of a caption without a row inside all rows count, as from captions alone
            suits = soft_best(own, other, torch.where(there[:, None], inside, mask), temperature=1.0)
            total = total + instance_contrast(suits[there]) + video_contrast(suits, negatives)
        best, other_best = (x.masked_fill(~mask, -torch.inf).amax(dim=-1) for x in (own, other))
        return total, {"loss": float(total.detach()), "match": 100 * float((best > other_best).float().mean())}


def margin_loss(own: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over pairs of a row inside and a row outside of the same video of max(0, m + phi(outside) - phi(inside)).

    Args:
        own: (B, T) logits.
        target: (B, T) 1 inside, 0 outside.
        mask: (B, T) False for padding.
    """
    phi = torch.sigmoid(own)
    hinge = F.relu(MARGIN + phi[:, None, :] - phi[:, :, None])  # (B, inside, outside)
    pairs = ((target > 0) & mask)[:, :, None] & ((target == 0) & mask)[:, None, :]
    return (hinge * pairs).sum() / pairs.sum().clamp_min(1)


def sentences_by_video(demo: Demo, *, alike: bool) -> Tensor:
    """(videos, captions) whether a training sentence is true of a video, or, if `alike`, shares a kind or a colour with somebody in it."""
    clips, data = read_clips(demo.folder, "train"), demo.prepared.train[0]
    rows = {annotation.qid: annotation.row["mentions"] for annotation in clips.annotations}
    mentions = [rows[caption.qid] for caption in data.captions]
    names = {int(video): caption.vid for caption, video in zip(data.captions, data.video_of, strict=True)}
    table = torch.zeros(len(names), len(mentions), dtype=torch.bool)
    for video, name in names.items():
        for number, said in enumerate(mentions):
            sentences = [{key: said[key]} for key in ("kind", "colour") if key in said] if alike else [said]
            table[video, number] = any(DemoSentence("", one).is_true_of(actor) for one in sentences for actor in clips.actors[name])
    return table


def best_life_inside(demo: Demo) -> list[Tensor]:
    """The rows inside of each training caption, if of the lives that match one span only the best is inside."""
    data, rows = demo.prepared.train[0], []
    assert isinstance(data.values, StoredFeatures)
    spans = {annotation.qid: annotation.windows_s for annotation in read_annotations(demo.folder / "spans-train.jsonl")}
    for caption, video, shares in zip(data.captions, data.video_of.tolist(), demo.shares["train"], strict=True):
        features = data.values.features(video)
        assert features.tracks is not None
        lives = features.tracks.lives_s
        best = np.zeros(len(lives) + 1, np.float32)
        for start, end in spans[caption.qid]:
            if len(lives):
                best[_ious(lives, start, end).argmax()] = 1.0
        rows.append(shares * torch.from_numpy(best[data.values.tracks_seen(features)]))  # what matches nothing stays outside
    return rows


def _ious(lives_s: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    both = np.maximum(np.minimum(lives_s[:, 1], end) - np.maximum(lives_s[:, 0], start), 0)
    return np.asarray(both / (lives_s[:, 1] - lives_s[:, 0] + end - start - both))


def objective_of(name: str, run: Run, demo: Demo) -> Objective:
    """The training objective of a variant."""
    spans = SpanObjective(demo.shares["train"], run.sampling)
    if name.startswith("wsra"):
        loss = replace(run.loss, contrast=0.0, contrast_videos=0.0) if name == "wsra without contrast" else run.loss
        return CaptionObjective(loss, run.sampling)
    if name.startswith("others "):
        return ComparedObjective(spans, left_out=sentences_by_video(demo, alike=name == "others unlike"))
    if name == "one life":
        return SpanObjective(best_life_inside(demo), run.sampling)
    if name == "no others":
        return ComparedObjective(spans, others="none")
    return ComparedObjective(spans, margin="margin" in name, others="contrast" if "contrast" in name else "cross entropy")


def trial(demo: Demo, out: Path, name: str, seed: int) -> dict[str, Any]:
    """Train one variant and measure it on validation and test spans, or read its JSON."""
    title = f"{name.replace(', ', '-').replace(' ', '-')}_seed{seed}"
    path, folder = out / f"{title}.json", out / "runs" / title
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    weak = name.startswith("wsra")
    run = run_of(demo.folder, "ours" if weak else "skyline", OURS if weak else SETTINGS, seed)
    checked = SpanObjective(demo.shares["val"], run.sampling)  # for its match, which all variants have in common
    train, val = demo.prepared.train, demo.prepared.val
    fit(run, folder, train, val, objective=objective_of(name, run, demo), val_objective=checked, resume=(folder / LAST).exists())
    result: dict[str, Any] = {"name": name, "seed": seed}
    for split in ("val", "test"):
        test, text = demo.labelled(split, out / "text-cache")
        answers = answered(load_checkpoint(folder).scorer, test, text, temperature=None)
        result[split] = test.ranked(answers).row()
        if split == "test":
            unseen = [bool(annotation.row["unseen"]) for annotation in test.annotations]
            result["unseen"] = test.ranked(answers, chosen=unseen).row()
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print_message(f"{title}: validation R@1 .5 {result['val']['r1_iou50']:.1f}")
    return result


def row(name: str, results: Sequence[dict[str, Any]]) -> str:
    """One line of the table: mean, lowest and highest of the seeds."""
    return f"| {name} | {len(results)} | {' | '.join(rates_cell(results, part) for part in ('val', 'test', 'unseen'))} |"


def main() -> int:
    """Train, measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    demo = open_demo(given.demo.resolve(), given.out / "text-cache")
    lines = [row(name, [trial(demo, given.out, name, seed) for seed in given.seeds]) for name in given.variants]
    print("R@1 at IoU 0.5 in percent, answers forced\n")
    print("| variant | seeds | validation | test | pairs never seen |\n|---|---|---|---|---|")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
