"""Speed and peak memory of a training step, beside a plain loop over pairs and negatives and text-guided attention (TGA).

    python benchmarks/train.py                 the table
    python benchmarks/train.py --profile       where the time of one step goes (T = 256, batch 256)
    python benchmarks/train.py --read          reading features from disk beside holding them in memory, whole epochs

Random features of 512 numbers, sentence vectors of 384, H = 128, 4 negatives, videos of T snippets, float32 on one thread of the CPU. Speed
is in pairs per second of CPU time, so other processes hardly affect it. Memory is the largest amount that a step adds to a process that
holds the batch. Every case runs in its own process. The loop's loss is compared with the trainer's before it is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tga import TextGuidedObjective
from wsra.runtime.formats.annotations import Caption
from wsra.runtime.formats.features import Features, write_features
from wsra.train.config import Data, Loss, Run, Sampling, Training
from wsra.train.data import Batch, CaptionedVideos
from wsra.train.loop import fit
from wsra.train.model import Scorer
from wsra.train.objective import CaptionObjective, Objective
from wsra.train.sampling import choose_negatives, rank_batch
from wsra.train.stored import StoredFeatures

WIDTH, TEXT_WIDTH, KEY_WIDTH = 512, 384, 128
LENGTHS, BATCHES = (64, 256, 1024), (42, 256)
LEAST_S, LEAST_STEPS = 3.0, 2


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of two vectors."""
    return F.cosine_similarity(a, b, dim=0)


@dataclass(frozen=True)
class LoopObjective:
    """Eq. 3, 5, 6, 9 and the contrast as they are written, in a loop over pairs and negatives."""

    loss: Loss
    sampling: Sampling

    def __call__(self, scorer: Scorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch."""
        w, count = self.loss, len(batch.values)
        ranked = rank_batch(batch.text, batch.videos, first=self.sampling.first, last=self.sampling.last)
        negatives = choose_negatives(ranked, self.sampling, generator)
        exponents, association, instance, contrast, cross = [], [], [], [], []
        normalised = [
            (rows[there] - scorer.feature_mean) * scorer.feature_scale for rows, there in zip(batch.values, batch.mask, strict=True)
        ]
        for i in range(count):
            keys, text = scorer.video(normalised[i]), batch.text[i]
            steps = len(keys)
            own = scorer.logits(keys, text)
            phi = torch.sigmoid(own)
            alpha = torch.softmax(phi / w.temperature, dim=0)
            foreground, background = alpha @ keys, (1 - alpha) @ keys / (steps - 1)
            own_phi = scorer.phi(foreground, text)
            exponents.append(w.gamma * (scorer.phi(background, text) - own_phi + w.margin))
            best = [torch.logsumexp(own / w.contrast_temperature, 0)]
            for j in negatives[i].tolist():
                other = scorer.logits(keys, batch.text[j])
                other_phi = torch.sigmoid(other)
                other_alpha = torch.softmax(other_phi / w.temperature, dim=0)
                association.append(F.relu(w.margin + scorer.phi(foreground, batch.text[j]) - own_phi))
                instance.append(F.relu(w.margin + steps * (other_alpha * other_phi - alpha * phi)).mean())
                best.append(torch.logsumexp(other / w.contrast_temperature, 0))
            contrast.append(-torch.log_softmax(w.contrast_temperature * torch.stack(best), 0)[0])
            if ranked.similarity[i] > w.gate:
                mine, similar = normalised[i], normalised[int(ranked.nearest[i])]
                v = alpha @ mine
                gamma = torch.softmax(F.cosine_similarity(similar, v[None], dim=1) / w.temperature, dim=0)
                u, u_background = gamma @ similar, (1 - gamma) @ similar / (len(similar) - 1)
                cross.append(F.relu(w.margin - cosine(u, v) + cosine(u_background, v)))
        total = w.background * torch.logsumexp(torch.cat([torch.zeros(1), torch.stack(exponents)]), 0)
        total = total + w.association * torch.stack(association).mean() + w.instance * torch.stack(instance).mean()
        total = total + w.contrast * torch.stack(contrast).mean() + w.cross_video * sum(cross, torch.zeros(())) / count
        return total, {"loss": float(total.detach())}


def prepared(length: int, size: int) -> tuple[Scorer, Batch]:
    """A scorer and a batch. A tenth of the sentences have a near duplicate, so that some gates are open."""
    torch.manual_seed(0)
    text = torch.randn(size, TEXT_WIDTH)
    text[: size // 10] = text[size // 10 : 2 * (size // 10)] + 0.1 * torch.randn(size // 10, TEXT_WIDTH)
    values, numbers = torch.randn(size, length, WIDTH), torch.arange(size)
    return Scorer(WIDTH, TEXT_WIDTH, KEY_WIDTH), Batch(values, torch.ones(size, length, dtype=torch.bool), text, numbers, numbers)


OBJECTIVES: dict[str, Objective] = {
    "trainer": CaptionObjective(Loss(), Sampling(draws=4)),
    "loop": LoopObjective(Loss(), Sampling(draws=4)),
    "TGA": TextGuidedObjective(margin=0.1, temperature=1.0),
}


def one_case(name: str, length: int, size: int) -> None:
    """Time one case and print it as JSON."""
    torch.set_num_threads(1)
    scorer, batch = prepared(length, size)
    if name == "loop" and size == min(BATCHES):
        found, expected = (
            float(OBJECTIVES[which](scorer, batch, torch.Generator().manual_seed(0))[0].detach()) for which in ("loop", "trainer")
        )
        if abs(found - expected) > 1e-4 * expected:
            sys.exit(f"the loop's loss is {found}, the trainer's {expected}")
    optimizer, generator = torch.optim.Adam(scorer.parameters()), torch.Generator().manual_seed(0)
    before_kb = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])

    def step() -> None:
        loss, _ = OBJECTIVES[name](scorer, batch, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    steps, began_s = 0, time.process_time()
    while steps < LEAST_STEPS or time.process_time() - began_s < LEAST_S:
        step()
        steps += 1
    speed = steps * size / (time.process_time() - began_s)
    added_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    print(json.dumps([speed, added_mb]))


def table() -> None:
    """Run all cases, each in a child process."""
    print("| T | batch | " + " | ".join(f"{name}: pairs/s, MB" for name in OBJECTIVES) + " | trainer against loop, TGA |")
    print("|---|---|" + "---|" * (len(OBJECTIVES) + 1))
    for length in LENGTHS:
        for size in BATCHES:
            cases = {}
            for name in OBJECTIVES:
                command = [sys.executable, __file__, "--case", name, str(length), str(size)]
                cases[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            ratios = ", ".join(f"{cases['trainer'][0] / cases[name][0]:.2f}x" for name in ("loop", "TGA"))
            print(f"| {length} | {size} | " + " | ".join(f"{s:,.0f}, {mb:,.0f}" for s, mb in cases.values()) + f" | {ratios} |", flush=True)


def profile() -> None:
    """Print the ten most expensive operations of the trainer's step."""
    torch.set_num_threads(1)
    scorer, batch = prepared(256, 256)
    generator = torch.Generator().manual_seed(0)
    OBJECTIVES["trainer"](scorer, batch, generator)[0].backward()  # type: ignore[no-untyped-call]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(3):
            OBJECTIVES["trainer"](scorer, batch, generator)[0].backward()  # type: ignore[no-untyped-call]
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    print("| operation | share of the time | calls per step |\n|---|---|---|")
    for row in rows[:10]:
        print(f"| `{row.key}` | {100 * row.self_cpu_time_total / total:.0f} % | {row.count // 3} |")


def _mark(marks: list[float], _: dict[str, float]) -> None:
    marks.append(time.perf_counter())


def read() -> None:
    """Time epochs from memory and from disk alternately, three times."""
    print("| T | in memory: s per epoch | from disk: s per epoch | ratio of medians |\n|---|---|---|---|")
    for length, videos in ((64, 1000), (256, 400), (1024, 100)):
        with tempfile.TemporaryDirectory() as folder:
            stored = _written(Path(folder), videos, length)
            text = torch.randn(videos, TEXT_WIDTH)
            sets = {"memory": replace(stored, values=tuple(stored.values)), "disk": stored}
            spent: dict[str, list[float]] = {name: [] for name in sets}
            for turn in range(3):
                for name, data in sets.items():
                    run = Run(Data("", "", ""), sampling=Sampling(draws=4), training=Training(epochs=3, threads=1))
                    marks: list[float] = []
                    few = (replace(data, captions=data.captions[:42], video_of=data.video_of[:42]), text[:42])
                    fit(
                        run,
                        Path(folder) / f"{name}-{turn}",
                        (data, text),
                        few,
                        objective=OBJECTIVES["trainer"],
                        report=partial(_mark, marks),
                    )
                    spent[name] += [later - earlier for earlier, later in pairwise(marks)]
            memory, disk = (float(np.median(spent[name])) for name in sets)
            print(f"| {length} | {memory:.2f} | {disk:.2f} | {disk / memory:.2f} |", flush=True)


def _written(folder: Path, videos: int, length: int) -> CaptionedVideos:
    rng, starts = np.random.default_rng(0), np.arange(length, dtype=np.float64)
    paths = [folder / f"{number}.feat" for number in range(videos)]
    for path in paths:
        values = rng.normal(size=(length, WIDTH)).astype(np.float16)
        write_features(path, Features(values, np.stack([starts, starts + 1], 1), path.stem, float(length), "random"))
    captions = [Caption(str(n), "a man", str(n)) for n in range(videos)]
    return CaptionedVideos(captions, StoredFeatures(paths, seen_as="snippets"), torch.arange(videos), "random", 1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--case", nargs=3, metavar=("NAME", "T", "BATCH"))
    given = parser.parse_args()
    if given.case:
        one_case(given.case[0], int(given.case[1]), int(given.case[2]))
    elif given.profile:
        profile()
    elif given.read:
        read()
    else:
        table()
