"""A run from its settings to its checkpoint: captions, features, text vectors, training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from wsra.train.config import Run
from wsra.train.data import CaptionedVideos, load
from wsra.train.loop import Report, fit
from wsra.train.objective import CaptionObjective, Objective
from wsra.train.text import cached_vectors, load_encoder

TextProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """What a run learns from and validates on: captioned videos with the vectors of their captions (captions, Dt)."""

    train: tuple[CaptionedVideos, Tensor]
    val: tuple[CaptionedVideos, Tensor]


def prepare(run: Run, cache: Path, progress: TextProgress | None = None) -> Prepared:
    """Read data and encode captions.

    Args:
        run: the settings.
        cache: folder of text vectors.
        progress: called with sentences encoded and to encode.

    Raises:
        DataError: captions or features cannot be used.
        ConfigError: the text encoder cannot be loaded.
    """
    torch.set_num_threads(run.training.threads)
    folder = Path(run.data.features)
    sets = [load(Path(path), folder, seen_as=run.data.seen_as) for path in (run.data.captions, run.data.val_captions)]
    encoder = load_encoder(run.text.encoder, run.text.pooling)
    sentences = [caption.query for data in sets for caption in data.captions]
    vectors = cached_vectors(encoder, sentences, cache, progress)
    first = len(sets[0].captions)
    return Prepared((sets[0], vectors[:first]), (sets[1], vectors[first:]))


def permuted(prepared: Prepared, seed: int) -> Prepared:
    """The same with captions dealt to the wrong videos: a control that cannot learn what sentences mean."""
    data, text = prepared.train
    order = torch.randperm(len(data.captions), generator=torch.Generator().manual_seed(seed))
    return replace(prepared, train=(replace(data, video_of=data.video_of[order]), text))


def train(
    run: Run,
    out: Path,
    prepared: Prepared,
    *,
    objective: Objective | None = None,
    val_objective: Objective | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> list[dict[str, float]]:
    """Train on captions, or on another objective; see `fit`."""
    chosen = objective or CaptionObjective(run.loss, run.sampling)
    return fit(
        run,
        out,
        prepared.train,
        prepared.val,
        objective=chosen,
        val_objective=val_objective,
        resume=resume,
        report=report,
    )
