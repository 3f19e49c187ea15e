"""Reads planted sets for benchmarks: captioned videos for `fit`, and labelled queries with the features of their videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from splits import Splits
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features, read_features
from wsra.train.config import Run
from wsra.train.run import TrainingSets, prepare
from wsra.train.text import cached_vectors, load_encoder


@dataclass(frozen=True)
class Part:
    """One split with its spans.

    Attributes:
        annotations: its sentences with their spans.
        features: features of its videos.
        text: (captions, Dt), in the order of `annotations`.
    """

    annotations: Sequence[Annotation]
    features: dict[str, Features]
    text: Tensor


@dataclass(frozen=True)
class Opened:
    """The data of a run and of its evaluation.

    Attributes:
        prepared: training and validation set for `fit`.
        train: annotations of the training videos, for the skyline and the prior.
        val: validation videos.
        test: test videos.
        seen: whether each test sentence occurs in training.
    """

    prepared: TrainingSets
    train: Sequence[Annotation]
    val: Part
    test: Part
    seen: list[bool]


def opened(folder: Path, run: Run) -> Opened:
    """Read a set that make.py wrote, as the run's settings require: snippets or windows, text vectors, and training captions."""
    torch.set_num_threads(run.training.threads)
    cache = folder.parent / "text-cache"
    prepared = prepare(run, cache)
    encoder = load_encoder(run.text.encoder, run.text.pooling)
    parts = {}
    for name in ("val", "test"):
        annotations = read_annotations(folder / f"captions-{name}.jsonl")
        features = {vid: read_features(folder / "features" / f"{vid}.feat") for vid in dict.fromkeys(a.vid for a in annotations)}
        parts[name] = Part(annotations, features, cached_vectors(encoder, [a.query for a in annotations], cache))
    train = read_annotations(folder / "captions-train.jsonl")
    seen = Splits(train, [], list(parts["test"].annotations)).seen()
    return Opened(prepared, train, parts["val"], parts["test"], seen)
