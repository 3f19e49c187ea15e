"""Calibrate theta of a scorer on captioned validation videos."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wsra.calib.theta import calibrate_lives, calibrate_theta
from wsra.runtime.grounding.recording import recording_of
from wsra.train.base_scorer import BaseScorer
from wsra.train.data import CaptionedVideos
from wsra.train.stored import StoredFeatures

OTHERS = 4  # sentences of other videos that are scored in a video for each of its own captions


@torch.no_grad()
def theta_of(scorer: BaseScorer, data: CaptionedVideos, text: Tensor, *, seed: int = 0) -> float:
    """Calibrate theta on captioned videos, by the rule for their kind of rows.

    Args:
        scorer: the scorer, on the CPU.
        data: validation videos; features of objects must be on disk, because their tracks are needed.
        text: (captions, Dt) vectors of the captions.
        seed: random seed for the choice of sentences of other videos.

    Raises:
        DataError: there are no captions, or the scorer separates nothing.
        TypeError: features of objects are not on disk.
    """
    if data.of_objects:
        return calibrate_lives(*best_life_scores(scorer, data, text, seed=seed))
    keys = [scorer.keys(values) for values in data.values]
    curves = [scorer.logits(keys[int(video)], row[None]).numpy() for video, row in zip(data.video_of, text, strict=True)]
    return calibrate_theta(curves)


@torch.no_grad()
def best_life_scores(scorer: BaseScorer, data: CaptionedVideos, text: Tensor, *, seed: int = 0) -> tuple[list[float], list[float]]:
    """Score, with theta 0, of the best life in a video for its own captions and for four times as many captions of other videos.

    Videos without a life are left out.

    Returns:
        Scores for a video's own captions, and scores for captions of other videos.

    Raises:
        TypeError: the features are not on disk, where their tracks are.
    """
    stored = data.values
    if not isinstance(stored, StoredFeatures):
        raise TypeError(f"features of type {type(stored).__name__} have no tracks; expected StoredFeatures")
    rng, video_of = np.random.default_rng(seed), data.video_of.numpy()
    own: list[float] = []
    others: list[float] = []
    for video in range(len(stored)):
        features = stored.features(video)
        lives = recording_of(features).lives
        if lives is None or len(lives) == 0:
            continue
        keys = scorer.keys(torch.from_numpy(features.rows(0, len(features))))
        inside, outside = np.flatnonzero(video_of == video), np.flatnonzero(video_of != video)
        drawn = rng.choice(outside, min(len(outside), OTHERS * len(inside)), replace=False)
        for scores, sentences in ((own, inside), (others, drawn)):
            scores += [float(lives.scores(scorer.logits(keys, text[sentence][None]).numpy()).max()) for sentence in sentences.tolist()]
    return own, others
